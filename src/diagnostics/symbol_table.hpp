// What this process knows about addresses of its own code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace retinue::detail {

/// One function at one address. An address in inlined code gives several, innermost first.
struct SymbolFrame {
  std::string function;  ///< as the linker knows it (mangled), empty if unknown
  std::string file;      ///< source file, empty without debug information
  int line = 0;
  std::string module;        ///< the program or library, empty if the address is in none
  std::uint64_t offset = 0;  ///< of the address in the module, or the address itself
};

/// Looks up `count` addresses, in order. Uses libdw (symbol tables also of functions that are not exported,
/// source lines, inlined calls; debug files installed beside the program or under /usr/lib/debug, never the
/// network), else dladdr. Thread-safe; after a fork the child reads its own tables. Throws bad_alloc only.
std::vector<SymbolFrame> look_up(const std::uint64_t* addresses, std::uint32_t count);

}  // namespace retinue::detail
