// The registry of modules, and both directions between addresses and names.
#include <retinue/detail/codec/entry.hpp>

#include <retinue/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <memory>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace retinue::detail {
namespace {

/// One module as this process has it loaded. Immutable once made.
struct Module {
  struct Text {
    std::uint64_t begin, end;  // offsets from `base`
  };
  /// Which loading of the file this is, as the dynamic linker reports without a lock.
  struct Loading {
    const void *map = nullptr, *end = nullptr, *frames = nullptr;
    bool operator==(const Loading&) const = default;
  };
  std::string path;  // absolute; empty for the main program
  std::uintptr_t base = 0;
  Loading loading;
  std::uint64_t build = 0;
  std::uint64_t fingerprint = 0;
  std::vector<Text> text;

  bool has_code_at(std::uint64_t offset) const noexcept {
    for (const Text& t : text)
      if (offset >= t.begin && offset < t.end) return true;
    return false;
  }
  const void* address(std::uint64_t offset) const noexcept { return reinterpret_cast<const void*>(base + offset); }
  std::string_view name() const noexcept { return path.empty() ? std::string_view("the main program") : path; }
};

class Hash {
 public:
  void add(const void* bytes, std::size_t n) noexcept {
    const auto* p = static_cast<const unsigned char*>(bytes);
    for (std::size_t i = 0; i < n; ++i) value_ = (value_ ^ p[i]) * 0x100000001b3u;  // FNV-1a
  }
  /// Never zero, which stands for "no module".
  std::uint64_t value() const noexcept { return value_ != 0 ? value_ : 1; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

/// The build id, if the linker made one, and the shape of the segments in any case.
std::uint64_t build_of(const dl_phdr_info& info) {
  Hash hash;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    if (segment.p_type == PT_LOAD) {
      hash.add(&segment.p_vaddr, sizeof segment.p_vaddr);
      hash.add(&segment.p_memsz, sizeof segment.p_memsz);
      hash.add(&segment.p_flags, sizeof segment.p_flags);
    }
    if (segment.p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(info.dlpi_addr + segment.p_vaddr);
    const char* const end = at + segment.p_memsz;
    while (static_cast<std::size_t>(end - at) >= sizeof(ElfW(Nhdr))) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const auto padded = [](std::size_t n) { return (n + 3) & ~std::size_t{3}; };
      const std::size_t whole = sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
      if (whole > static_cast<std::size_t>(end - at)) break;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(at + sizeof note, "GNU", 4) == 0)
        hash.add(at + sizeof note + padded(note.n_namesz), note.n_descsz);
      at += whole;
    }
  }
  return hash.value();
}

std::string absolute_path(const char* loaded_as) {
  if (std::strchr(loaded_as, '/') == nullptr) return loaded_as;  // the vdso
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(loaded_as, nullptr), std::free);
  return real ? real.get() : loaded_as;
}

/// The loading that covers the address; nothing where the C library cannot say without a lock.
std::optional<Module::Loading> loading_at([[maybe_unused]] std::uintptr_t address) noexcept {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
  dl_find_object found;
  if (::_dl_find_object(reinterpret_cast<void*>(address), &found) == 0)
    return Module::Loading{found.dlfo_link_map, found.dlfo_map_end, found.dlfo_eh_frame};
#endif
  return std::nullopt;
}

std::unique_ptr<Module> describe(const dl_phdr_info& info) {
  auto module = std::make_unique<Module>();
  const bool main_program = info.dlpi_name == nullptr || info.dlpi_name[0] == '\0';
  if (!main_program) module->path = absolute_path(info.dlpi_name);
  module->base = info.dlpi_addr;
  module->build = build_of(info);
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0)
      module->text.push_back({segment.p_vaddr, segment.p_vaddr + segment.p_memsz});
  }
  if (!module->text.empty())
    module->loading = loading_at(module->base + module->text.front().begin).value_or(Module::Loading{});
  Hash hash;
  hash.add(module->path.data(), module->path.size());
  hash.add(&module->build, sizeof module->build);
  module->fingerprint = hash.value();
  return module;
}

/// The dynamic linker's lock, which dl_iterate_phdr takes, is not freed in the child of a fork. This one
/// is held around it and across fork, so that no child inherits that lock from a search of ours.
constinit std::mutex searching;
[[maybe_unused]] const int no_search_across_fork =
    ::pthread_atfork([] { searching.lock(); }, [] { searching.unlock(); }, [] { searching.unlock(); });

/// The first loaded module for which wanted(info) holds, or nullptr.
template <class Wanted>
std::unique_ptr<Module> find_loaded(Wanted wanted) {
  struct Search {
    Wanted& wanted;
    std::unique_ptr<Module> found;
  } search{wanted, nullptr};
  const std::lock_guard lock(searching);
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& s = *static_cast<Search*>(data);
        if (!s.wanted(*info)) return 0;
        s.found = describe(*info);
        return 1;
      },
      &search);
  return std::move(search.found);
}

bool covers(const dl_phdr_info& info, std::uintptr_t address) {
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0 &&
        address - (info.dlpi_addr + segment.p_vaddr) < segment.p_memsz)
      return true;
  }
  return false;
}

/// What this process knows of modules. One per process; private memory, inherited over fork.
///
/// Thread-safe. Lookups take no lock: `modules` and `cached` hold pointers to immutable objects that
/// are never freed. The mutex orders whatever appends, and is held across fork (pthread_atfork), so a
/// child never inherits it locked. Nothing is loaded or searched for under it.
struct Registry {
  std::mutex mutex;
  std::array<std::atomic<const Module*>, kMaxModules> modules{};
  std::atomic<std::uint32_t> count{0};
  /// Modules by their index in the table last asked for; whether that is the right one is decided by
  /// the fingerprint, so a second table, or another process's cache inherited, costs only a miss.
  std::array<std::atomic<const Module*>, kMaxModules> cached{};
  struct Publication {
    ModuleTable* table;
    pid_t owner;
  };
  std::vector<Publication> publications;
};

/// Never destroyed: threads may still name code while the process exits. Constant-initialised, so that
/// the path of every task asks for no guard.
union NeverDestroyed {
  Registry registry;
  constexpr NeverDestroyed() : registry() {}
  ~NeverDestroyed() {}
};
constinit NeverDestroyed never_destroyed;

Registry& registry() noexcept { return never_destroyed.registry; }

[[maybe_unused]] const int held_across_fork = ::pthread_atfork(
    [] { registry().mutex.lock(); }, [] { registry().mutex.unlock(); }, [] { registry().mutex.unlock(); });

/// Writes what is not there as it is to be; true if anything of what the table says it has was not.
bool publish(ModuleTable& table, const Registry& r) {
  const std::uint32_t count = r.count.load(std::memory_order_relaxed),
                      published = table.count.load(std::memory_order_relaxed);
  bool wrong = published > count;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Module& module = *r.modules[i].load(std::memory_order_relaxed);
    ModuleRecord& record = table.records[i];
    const std::size_t path_bytes = module.path.size() + 1;
    if (record.fingerprint == module.fingerprint && record.build == module.build &&
        std::memcmp(record.path, module.path.c_str(), path_bytes) == 0)
      continue;
    wrong |= i < published;
    record.fingerprint = module.fingerprint;
    record.build = module.build;
    std::memcpy(record.path, module.path.c_str(), path_bytes);
  }
  if (published != count) table.count.store(count, std::memory_order_release);
  return wrong;
}

/// The index of the module, appended and published if new.
std::size_t register_module(std::unique_ptr<Module> module) {
  if (module->path.size() >= sizeof(ModuleRecord::path))
    throw Error("the path of " + module->path + " is too long to run its functions in worker processes (" +
                std::to_string(sizeof(ModuleRecord::path) - 1) + " bytes at most)");
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  const std::uint32_t count = r.count.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Module* known = r.modules[i].load(std::memory_order_relaxed);
    if (known->fingerprint != module->fingerprint) continue;
    // Unloaded and loaded again: the index stays, the base is the new one.
    if (known->base != module->base || known->loading != module->loading)
      r.modules[i].store(module.release(), std::memory_order_release);
    return i;
  }
  if (count == kMaxModules)
    throw Error("functions of more than " + std::to_string(kMaxModules) + " libraries were sent to worker processes; " +
                std::string(module->name()) + " is one too many");
  r.modules[count].store(module.release(), std::memory_order_release);
  r.count.store(count + 1, std::memory_order_release);
  const pid_t self = ::getpid();
  for (const Registry::Publication& p : r.publications)
    if (p.owner == self) publish(*p.table, r);
  return count;
}

struct Named {
  const void* code;
  EntryRef ref;
  CodeName name;
};

/// The last addresses this thread has named, by hash. Right after fork too: a child inherits both the
/// registry and the load addresses.
Named& named(const void* code) {
  static constexpr unsigned kBits = 6;
  static thread_local constinit Named cache[1u << kBits] = {};
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  return cache[address * 0x9e3779b97f4a7c15u >> (64 - kBits)];
}

/// Names an address in a module already registered, without a lock: two functions that share a place of the
/// cache must not send every task to the dynamic linker.
bool name_known(const void* code, Named& place) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  const auto loading = loading_at(address);
  if (!loading) return false;
  Registry& r = registry();
  const std::uint32_t count = r.count.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Module& module = *r.modules[i].load(std::memory_order_acquire);
    const std::uint64_t offset = address - module.base;
    if (module.loading != *loading || !module.has_code_at(offset)) continue;
    place = {code, EntryRef::make(i, offset), {module.fingerprint, offset}};
    return true;
  }
  return false;
}

[[gnu::noinline]] void name_slowly(const void* code, Named& place) {
  if (name_known(code, place)) return;
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  auto module = find_loaded([address](const dl_phdr_info& info) { return covers(info, address); });
  if (!module)
    throw Error(
        "a function at an address that belongs neither to the program nor to a shared library cannot be "
        "run in a worker process");
  const std::uint64_t offset = address - module->base;
  const std::uint64_t fingerprint = module->fingerprint;
  place = {code, EntryRef::make(register_module(std::move(module)), offset), {fingerprint, offset}};
}

[[noreturn]] void no_such_code() { throw CodecError("damaged payload: a function's name leads to no code"); }

/// The wanted module if this process has it loaded: under its path, or under a relative one (the
/// working directory may have changed since) as the same build. nullptr if not.
std::unique_ptr<Module> find_same(const ModuleRecord& wanted, std::string_view path) {
  const auto same_build = [&](const dl_phdr_info& info) { return build_of(info) == wanted.build; };
  auto module = find_loaded([&](const dl_phdr_info& info) {
    const char* name = info.dlpi_name == nullptr ? "" : info.dlpi_name;
    return same_build(info) && absolute_path(name) == path;
  });
  if (module) return module;
  return find_loaded([&](const dl_phdr_info& info) {
    const char* name = info.dlpi_name == nullptr ? "" : info.dlpi_name;
    return name[0] != '\0' && name[0] != '/' && same_build(info);
  });
}

/// Finds or loads the module. Never returns nullptr.
std::unique_ptr<Module> find_or_load(const ModuleRecord& wanted) {
  const std::string path(wanted.path, ::strnlen(wanted.path, sizeof wanted.path));
  if (auto module = find_same(wanted, path)) return module;
  if (path.empty())
    throw Error("a task is of another program than this worker process runs, or of another build of it");
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = ::dlerror();
    throw Error("a worker process cannot load " + path +
                ", which the owner loaded after the pool was made: " + (why != nullptr ? why : "dlopen failed"));
  }
  const link_map* map = nullptr;
  ::dlinfo(handle, RTLD_DI_LINKMAP, &map);
  auto module =
      find_loaded([map](const dl_phdr_info& info) { return map != nullptr && info.dlpi_addr == map->l_addr; });
  if (!module || module->build != wanted.build) {
    ::dlclose(handle);
    throw Error("the file " + path +
                " is not the one the owner loaded: it was changed since, so a worker process "
                "cannot run its functions");
  }
  return module;  // the handle stays open: the module is needed from now on
}

/// A module that this process, or the one it was forked from, has registered itself, if it is still loaded as it was.
const Module* find_registered(std::uint64_t fingerprint) noexcept {
  Registry& r = registry();
  const std::uint32_t count = r.count.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < count; ++i) {
    const Module* module = r.modules[i].load(std::memory_order_acquire);
    if (module->fingerprint != fingerprint || module->text.empty()) continue;
    if (loading_at(module->base + module->text.front().begin) == module->loading) return module;
  }
  return nullptr;
}

[[gnu::noinline]] const Module& find_module(const ModuleRecord& wanted, std::size_t index) {
  if (const Module* registered = find_registered(wanted.fingerprint)) {
    registry().cached[index].store(registered, std::memory_order_release);
    return *registered;
  }
  auto module = find_or_load(wanted);
  module->fingerprint = wanted.fingerprint;  // whatever path it was loaded under, it is the one named so
  const Module* fresh = module.release();
  registry().cached[index].store(fresh, std::memory_order_release);
  return *fresh;
}

const Module& module_at(const ModuleTable& table, std::size_t index) {
  const ModuleRecord& wanted = table.records[index];
  const Module* known = registry().cached[index].load(std::memory_order_acquire);
  if (known != nullptr && known->fingerprint == wanted.fingerprint) [[likely]]
    return *known;
  return find_module(wanted, index);
}

}  // namespace

EntryRef name_code(const void* code) {
  Named& place = named(code);
  if (place.code != code || code == nullptr) [[unlikely]]
    name_slowly(code, place);
  return place.ref;
}

CodeName portable_name(const void* code) {
  Named& place = named(code);
  if (place.code != code || code == nullptr) [[unlikely]]
    name_slowly(code, place);
  return place.name;
}

void attach_modules(ModuleTable& table) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  publish(table, r);
  r.publications.push_back({&table, ::getpid()});
}

bool repair_modules(ModuleTable& table) noexcept {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  const std::uint32_t published = table.count.load(std::memory_order_relaxed);
  return publish(table, r) || published != r.count.load(std::memory_order_relaxed);
}

void detach_modules(ModuleTable& table) noexcept {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  std::erase_if(r.publications, [&table](const Registry::Publication& p) { return p.table == &table; });
}

const void* find_code(const ModuleTable* table, EntryRef ref) {
  // Most tasks in a row call one function. Where a module that was found is unloaded, its functions are not called again.
  static thread_local constinit struct {
    std::uint64_t bits = ~std::uint64_t{0};
    const ModuleTable* table = nullptr;
    const void* code = nullptr;
  } last;
  if (ref.bits == last.bits && table == last.table && last.code != nullptr) [[likely]]
    return last.code;
  if (!ref.is_whole()) no_such_code();
  const std::size_t index = ref.module();
  const Module* module;
  if (table == nullptr) {
    Registry& r = registry();
    if (index >= r.count.load(std::memory_order_acquire)) no_such_code();
    module = r.modules[index].load(std::memory_order_acquire);
  } else {
    if (index >= kMaxModules || index >= table->count.load(std::memory_order_acquire)) no_such_code();
    module = &module_at(*table, index);
  }
  if (!module->has_code_at(ref.offset())) no_such_code();
  last = {ref.bits, table, module->address(ref.offset())};
  return last.code;
}

const void* find_code(const ModuleTable* table, CodeName name) {
  const auto checked = [&name](const Module& module) {
    if (!module.has_code_at(name.offset)) no_such_code();
    return module.address(name.offset);
  };
  Registry& r = registry();
  if (const Module* registered = find_registered(name.module)) return checked(*registered);
  if (table != nullptr) {
    const std::size_t count = std::min<std::size_t>(table->count.load(std::memory_order_acquire), kMaxModules);
    for (std::size_t i = 0; i < count; ++i)
      if (table->records[i].fingerprint == name.module) return checked(module_at(*table, i));
  }
  // Loaded here, though nobody has named it yet: register it, so that the next time is quick.
  std::unique_ptr<Module> module;
  find_loaded([&](const dl_phdr_info& info) {
    auto candidate = describe(info);
    if (candidate->fingerprint != name.module) return false;
    module = std::move(candidate);
    return true;
  });
  if (!module) throw Error("a function pointer leads into a library that this process has not loaded");
  const std::size_t index = register_module(std::move(module));
  return checked(*r.modules[index].load(std::memory_order_acquire));
}

}  // namespace retinue::detail
