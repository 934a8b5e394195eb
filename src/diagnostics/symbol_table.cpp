#include "symbol_table.hpp"

#include <dlfcn.h>

#if __has_include(<elfutils/libdwfl.h>) && !defined(RETINUE_WITHOUT_LIBDW)
#define RETINUE_HAVE_LIBDW 1
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <link.h>
#include <memory>
#include <mutex>
#include <string_view>
#include <sys/types.h>
#include <unistd.h>
#include <unordered_map>

#include "system/calls.hpp"
#endif

namespace retinue::detail {
namespace {

SymbolFrame look_up_by_dladdr(std::uint64_t address) {
  SymbolFrame frame;
  frame.offset = address;
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(address), &info) == 0) return frame;
  if (info.dli_fname != nullptr) frame.module = info.dli_fname;
  frame.offset = address - reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  if (info.dli_sname != nullptr) frame.function = info.dli_sname;
  return frame;
}

#if RETINUE_HAVE_LIBDW

// Finds the separate debug file of a stripped module. libdwfl's own search would, last of all, ask a
// debuginfod server; a stack must not wait for a network.
int find_debug_file(Dwfl_Module* module, void**, const char*, Dwarf_Addr, const char* file_name, const char* link_file,
                    GElf_Word, char** found) try {
  const auto try_open = [&](const std::string& path) {
    const int fd = sys::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) *found = ::strdup(path.c_str());
    return fd;
  };
  const unsigned char* id = nullptr;
  GElf_Addr where = 0;
  const int size = ::dwfl_module_build_id(module, &id, &where);
  if (size > 1) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string path = "/usr/lib/debug/.build-id/";
    for (int i = 0; i < size; ++i) {
      path += kDigits[id[i] >> 4];
      path += kDigits[id[i] & 15];
      if (i == 0) path += '/';
    }
    if (const int fd = try_open(path + ".debug"); fd >= 0) return fd;
  }
  if (file_name == nullptr || link_file == nullptr) return -1;
  const std::string_view program = file_name;
  const std::string folder(program.substr(0, program.rfind('/') + 1));
  for (const std::string& path : {folder + ".debug/" + link_file, "/usr/lib/debug" + folder + link_file}) {
    if (const int fd = try_open(path); fd >= 0) return fd;
  }
  return -1;
} catch (...) {  // the caller is C
  return -1;
}

const Dwfl_Callbacks kCallbacks = {::dwfl_linux_proc_find_elf, find_debug_file, nullptr, nullptr};

// The symbol tables of one process. A forked child cannot use its parent's: another thread may have held the
// lock when it forked. So the child makes its own and leaves the parent's alone (linked, for leak checkers).
struct Session {
  pid_t pid = ::getpid();
  Session* parents = nullptr;
  std::mutex lock;
  Dwfl* dwfl = nullptr;
  unsigned long long loads = 0, unloads = 0;  // the dynamic linker's counts when the modules were last listed
  // A failing map throws from the same few places over and over, and libdw searches symbols one by one.
  std::unordered_map<std::uint64_t, std::vector<SymbolFrame>> known;

  ~Session() {
    if (dwfl != nullptr) ::dwfl_end(dwfl);
  }

  // Takes in what has been loaded or unloaded since; false if there is no table to use.
  bool refresh() {
    struct Counts {
      unsigned long long loads, unloads;
    } now{};
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* out) {
          *static_cast<Counts*>(out) = {info->dlpi_adds, info->dlpi_subs};
          return 1;
        },
        &now);
    if (dwfl != nullptr && now.loads == loads && now.unloads == unloads) return true;
    known.clear();
    if (dwfl == nullptr) {
      dwfl = ::dwfl_begin(&kCallbacks);
      if (dwfl == nullptr) return false;
    } else {
      ::dwfl_report_begin(dwfl);
    }
    const bool ok = ::dwfl_linux_proc_report(dwfl, pid) == 0;
    if (::dwfl_report_end(dwfl, nullptr, nullptr) != 0 || !ok) return false;
    loads = now.loads;
    unloads = now.unloads;
    return true;
  }
};

constexpr std::size_t kMaxKnown = 4096;

std::atomic<Session*> session{nullptr};

Session& this_process_session() {
  Session* current = session.load(std::memory_order_acquire);
  while (current == nullptr || current->pid != ::getpid()) {
    auto fresh = std::make_unique<Session>();
    fresh->parents = current;
    if (session.compare_exchange_strong(current, fresh.get(), std::memory_order_acq_rel)) return *fresh.release();
  }
  return *current;
}

const char* linkage_name(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  if (::dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) != nullptr) return ::dwarf_formstring(&attribute);
  return ::dwarf_diename(die);
}

// The compilation unit of `address`. clang writes no .debug_aranges, so the units may have to be asked. In a program of
// which other compilers have made parts, such as this library, libdwfl answers for clang's parts with the nearest of theirs.
Dwarf_Die* unit_of(Dwfl_Module* module, Dwarf_Addr address, Dwarf_Addr* bias) {
  Dwarf_Die* unit = ::dwfl_module_addrdie(module, address, bias);
  if (unit != nullptr && ::dwarf_haspc(unit, address - *bias) > 0) return unit;
  unit = nullptr;
  while ((unit = ::dwfl_module_nextcu(module, unit, bias)) != nullptr) {
    if (::dwarf_haspc(unit, address - *bias) > 0) return unit;
  }
  return nullptr;
}

void append_frames(std::vector<SymbolFrame>& frames, Dwfl* dwfl, Dwarf_Addr address) {
  Dwfl_Module* const module = ::dwfl_addrmodule(dwfl, address);
  Dwarf_Addr start = 0, end = 0;
  const char* const module_name =
      module == nullptr ? nullptr
                        : ::dwfl_module_info(module, nullptr, &start, &end, nullptr, nullptr, nullptr, nullptr);
  if (module_name == nullptr || address < start || address >= end) {  // libdwfl answers with the nearest, too
    frames.push_back(look_up_by_dladdr(address));
    return;
  }
  SymbolFrame frame;
  frame.module = module_name;
  frame.offset = address - start;
  std::string function;
  GElf_Off in_symbol = 0;
  GElf_Sym symbol{};
  if (const char* name = ::dwfl_module_addrinfo(module, address, &in_symbol, &symbol, nullptr, nullptr, nullptr)) {
    function = std::string_view(name).substr(0, std::string_view(name).find('@'));  // without a symbol version
  }

  Dwarf_Addr bias = 0;
  Dwarf_Die* const unit = unit_of(module, address, &bias);
  if (unit != nullptr) {
    if (Dwarf_Line* const line = ::dwarf_getsrc_die(unit, address - bias)) {
      if (const char* file = ::dwarf_linesrc(line, nullptr, nullptr)) frame.file = file;
      ::dwarf_lineno(line, &frame.line);
    }
    Dwarf_Die* inner = nullptr;
    Dwarf_Die* scopes = nullptr;
    int count = ::dwarf_getscopes(unit, address - bias, &inner);
    count = count > 0 ? ::dwarf_getscopes_die(&inner[0], &scopes) : 0;
    Dwarf_Files* files = nullptr;
    std::size_t file_count = 0;
    const bool have_files = ::dwarf_getsrcfiles(unit, &files, &file_count) == 0;
    try {
      for (int i = 0; i < count; ++i) {
        const int tag = ::dwarf_tag(&scopes[i]);
        if (tag == DW_TAG_subprogram) {
          if (const char* name = function.empty() ? linkage_name(&scopes[i]) : nullptr) function = name;
          break;
        }
        if (tag != DW_TAG_inlined_subroutine) continue;
        SymbolFrame inlined = frame;
        if (const char* name = linkage_name(&scopes[i])) inlined.function = name;
        frames.push_back(std::move(inlined));
        // What holds the inlined code stands at the place of the call.
        frame.file.clear();
        Dwarf_Attribute attribute;
        Dwarf_Word value = 0;
        if (have_files && ::dwarf_formudata(::dwarf_attr(&scopes[i], DW_AT_call_file, &attribute), &value) == 0) {
          if (const char* file = ::dwarf_filesrc(files, value, nullptr, nullptr)) frame.file = file;
        }
        if (::dwarf_formudata(::dwarf_attr(&scopes[i], DW_AT_call_line, &attribute), &value) == 0) {
          frame.line = static_cast<int>(value);
        }
      }
    } catch (...) {
      std::free(scopes);
      std::free(inner);
      throw;
    }
    std::free(scopes);
    std::free(inner);
  }
  frame.function = std::move(function);
  frames.push_back(std::move(frame));
}

#endif

}  // namespace

std::vector<SymbolFrame> look_up(const std::uint64_t* addresses, std::uint32_t count) {
  std::vector<SymbolFrame> frames;
#if RETINUE_HAVE_LIBDW
  Session& mine = this_process_session();
  const std::lock_guard guard(mine.lock);
  const bool usable = mine.refresh();
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!usable) {
      frames.push_back(look_up_by_dladdr(addresses[i]));
      continue;
    }
    auto at = mine.known.find(addresses[i]);
    if (at == mine.known.end()) {
      std::vector<SymbolFrame> found;
      append_frames(found, mine.dwfl, addresses[i]);
      if (mine.known.size() >= kMaxKnown) mine.known.clear();
      at = mine.known.emplace(addresses[i], std::move(found)).first;
    }
    frames.insert(frames.end(), at->second.begin(), at->second.end());
  }
#else
  for (std::uint32_t i = 0; i < count; ++i) frames.push_back(look_up_by_dladdr(addresses[i]));
#endif
  return frames;
}

}  // namespace retinue::detail
