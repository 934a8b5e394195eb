// Names for a stack: the owner's half.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "stack.hpp"
#include "symbol_table.hpp"
#include "system/text_file.hpp"

namespace retinue::detail {
namespace {

// Scopes are told from the mangled name, where they stand first; in the demangled one a user's
// "void f<retinue::detail::X>()" would look like the engine's.
bool in_engine(std::string_view mangled) {
  if (mangled.starts_with("retinue_detail_")) return true;
  if (!mangled.starts_with("_Z")) return false;
  mangled.remove_prefix(2);
  while (mangled.starts_with('Z')) mangled.remove_prefix(1);  // something local to a function
  if (!mangled.starts_with('N')) return false;
  mangled.remove_prefix(1);
  while (!mangled.empty() && std::strchr("rVKRO", mangled.front()) != nullptr) mangled.remove_prefix(1);
  return mangled.starts_with("7retinue6detail") || mangled.starts_with("7retinue11ProcessPool3run");
}

bool is_throw_machinery(std::string_view mangled) {
  return mangled.starts_with("_Unwind_") || mangled == "__cxa_throw" || mangled == "__cxa_rethrow" ||
         mangled.find("interceptor___cxa_") != std::string_view::npos ||
         mangled.find("interceptor__Unwind_") != std::string_view::npos ||
         mangled.starts_with("_ZSt17rethrow_exception");
}

// std::invoke, std::apply and their parts, through which the engine calls the user's function.
bool is_invocation(std::string_view mangled) {
  for (const char* part : {"_ZSt6invoke", "_ZSt8__invoke", "_ZSt10__invoke_r", "_ZSt13__invoke_impl", "_ZSt5apply",
                           "_ZSt12__apply_impl", "_ZNSt3__18__invoke", "_ZNSt3__16invoke"}) {
    if (mangled.starts_with(part)) return true;
  }
  return false;
}

// The engine, and how it calls the user's function, between that and the boundary. Of calls that were inlined compilers may
// write the bare name only; then the file tells.
bool is_call_of_task(const SymbolFrame& frame) {
  const std::string_view function = frame.function, file = frame.file;
  if (in_engine(function) || is_invocation(function)) return true;
  if (function.starts_with("_Z")) return false;
  if (file.find("/retinue/detail/") != file.npos || file.ends_with("/retinue/process_pool.hpp")) return true;
  const bool is_standards =
      file.ends_with("/bits/invoke.h") || file.ends_with("/functional") || file.ends_with("/tuple");
  return is_standards && (function.find("invoke") != function.npos || function.find("apply") != function.npos);
}

bool is_task_boundary(std::string_view mangled) {
  return mangled == "retinue_detail_call_with_throw_site" ||
         mangled.starts_with("_ZN7retinue6detail20call_with_throw_site");
}

std::string demangled(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 && text ? std::string(text.get()) : mangled;
}

std::string hexadecimal(std::uint64_t value) {
  std::ostringstream out;
  out << "0x" << std::hex << value;
  return std::move(out).str();
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Where no module of this process has the address: a library that the worker loaded by itself.
std::string place_in_worker(std::uint64_t address, pid_t worker_pid) {
  std::istringstream maps(text_of_file("/proc/" + std::to_string(worker_pid) + "/maps").value_or(""));
  for (std::string line; std::getline(maps, line);) {
    // "7f12a000-7f12c000 r-xp 00002000 fe:01 1234   /path/of the/file"
    std::istringstream fields(line);
    std::uint64_t first = 0, last = 0, offset = 0;
    char dash = 0;
    std::string access, device, inode, path;
    fields >> std::hex >> first >> dash >> last >> access >> offset >> device >> inode >> std::ws;
    if (!fields || address < first || address >= last) continue;
    std::getline(fields, path);
    if (!path.empty()) return std::string(file_name(path)) + "+" + hexadecimal(address - first + offset);
  }
  return hexadecimal(address);
}

std::string line_of(const SymbolFrame& frame, pid_t worker_pid) {
  std::string line = "  at ";
  if (!frame.function.empty()) {
    line += demangled(frame.function);
    if (!frame.file.empty()) {
      line += " (" + frame.file + ":" + std::to_string(frame.line) + ")";
    } else if (!frame.module.empty()) {
      line += " (" + std::string(file_name(frame.module)) + ")";
    }
  } else if (!frame.module.empty()) {
    line += std::string(file_name(frame.module)) + "+" + hexadecimal(frame.offset);
  } else {
    line += place_in_worker(frame.offset, worker_pid);
  }
  line += '\n';
  return line;
}

}  // namespace

std::string describe_overflow(const StackRecord& record) {
  const volatile StackRecord& untrusted = record;
  if (untrusted.overflowed != kOverflowed) return "";
  return "  its stack overflowed: a recursion went too deep, or a local variable is too large (ulimit -s)\n";
}

std::string text_of(const CrashNote& note) {
  const volatile CrashNote& untrusted = note;
  const std::uint32_t claimed = untrusted.size;
  std::string text;
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(claimed, sizeof note.text); ++i) {
    const char c = untrusted.text[i];
    text += c == '\n' || static_cast<unsigned char>(c) >= 0x20 ? c : '?';
  }
  return text;
}

std::string describe_stack(const StackRecord& record, pid_t worker_pid) {
  // The worker may still write: each field is read once, and no field is believed.
  std::uint64_t addresses[kStackFrames];
  const volatile StackRecord& untrusted = record;
  const std::uint32_t claimed = untrusted.count;
  const std::uint32_t count = std::min(claimed, kStackFrames);
  for (std::uint32_t i = 0; i < count; ++i) addresses[i] = untrusted.frames[i];
  if (count == 0) return "";

  const std::vector<SymbolFrame> frames = look_up(addresses, count);
  auto first = frames.begin();
  while (first != frames.end() && (in_engine(first->function) || is_throw_machinery(first->function)) &&
         !is_task_boundary(first->function)) {
    ++first;
  }
  // Beyond the innermost boundary there is only the engine, and whoever made the pool in the owner.
  auto last = std::find_if(first, frames.end(), [](const SymbolFrame& f) { return is_task_boundary(f.function); });
  while (last != first && is_call_of_task(*std::prev(last))) --last;

  if (first == last) {  // all of it is the engine's, so that is where the fault is
    first = frames.begin();
    last = frames.end();
  }

  std::string text;
  for (; first != last; ++first) text += line_of(*first, worker_pid);
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace retinue::detail
