// Naming code across processes: a function is (module, offset), never an address.
//
// A module is the program or a shared library. Every process keeps a private registry of those it has
// named code in; children inherit it. An owner publishes its registry into a ModuleTable in shared
// memory, where its workers look up what they have not inherited, and load it if they must.
//
// Thread-safety: everything here may be called from any thread. Modules that tasks use must stay
// loaded: after a dlclose, names made from their addresses mean nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace retinue::detail {

/// The most modules one owner can name code in.
inline constexpr std::size_t kMaxModules = 128;

/// A function, named for the workers of this process: valid wherever this process's registry (or a
/// table it is published to) is at hand. Zero names nothing.
struct EntryRef {
  /// Module's index in the upper 8, a check of the others in the next 16, offset from its load base in the lower 40. The
  /// check keeps a worker from calling into the middle of a function where a slot was overwritten.
  std::uint64_t bits = 0;

  static constexpr unsigned kOffsetBits = 40, kCheckBits = 16;
  static constexpr EntryRef make(std::size_t module, std::uint64_t offset) noexcept {
    return {static_cast<std::uint64_t>(module) << (kOffsetBits + kCheckBits) | check_of(module, offset) << kOffsetBits |
            offset};
  }
  constexpr std::size_t module() const noexcept { return static_cast<std::size_t>(bits >> (kOffsetBits + kCheckBits)); }
  constexpr std::uint64_t offset() const noexcept { return bits & ((std::uint64_t{1} << kOffsetBits) - 1); }
  constexpr bool is_whole() const noexcept { return *this == make(module(), offset()); }
  static constexpr std::uint64_t check_of(std::size_t module, std::uint64_t offset) noexcept {
    return ((offset ^ static_cast<std::uint64_t>(module) << kOffsetBits) + 1) * 0x9e3779b97f4a7c15u >>
           (64 - kCheckBits);
  }
  constexpr explicit operator bool() const noexcept { return bits != 0; }
  friend constexpr bool operator==(EntryRef, EntryRef) noexcept = default;
};
static_assert(sizeof(EntryRef) == 8 && kMaxModules <= 256);

/// A function, named for any process that runs the same build of its module, in either direction (a
/// worker's registry may number modules differently from its owner's, so a result cannot use EntryRef).
struct CodeName {
  std::uint64_t module = 0;  ///< the module's fingerprint; 0 names nothing
  std::uint64_t offset = 0;
};

/// One published module. Written once by the owner, before `ModuleTable::count` covers it.
struct ModuleRecord {
  std::uint64_t fingerprint;  ///< of path and build: equal in two processes if the module is the same
  std::uint64_t build;        ///< of the program headers and the build id
  char path[496];             ///< absolute and NUL-terminated; empty for the main program
};
static_assert(sizeof(ModuleRecord) == 512);

/// The modules an owner has named code in, by index. Lives in shared memory: written by the owner
/// under its registry's lock, read by workers without one. All zeros is an empty table. An owner
/// killed at any instruction leaves a table whose first `count` records are whole.
struct alignas(64) ModuleTable {
  std::atomic<std::uint32_t> count{0};
  std::byte reserved[60]{};
  ModuleRecord records[kMaxModules]{};
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(ModuleTable) == 64 + kMaxModules * 512 && alignof(ModuleTable) == 64);

/// Names the function at `code`, registering (and publishing) its module if it is new. A few
/// nanoseconds for an address this thread has named before. Throws Error if the address is not in
/// the code of any module, the module's path is too long or kMaxModules are registered.
EntryRef name_code(const void* code);
/// Likewise, as a name that is good in both directions.
CodeName portable_name(const void* code);

/// Publishes this process's registry to `table`, now and whenever it grows. The table must stay
/// mapped until detached. Children forked later inherit the registry, but do not publish to it.
void attach_modules(ModuleTable& table);
/// Publishes again what was overwritten in an attached table; true if anything was.
bool repair_modules(ModuleTable& table) noexcept;
/// Stops publishing. What was published stays readable. Does nothing for a table never attached.
void detach_modules(ModuleTable& table) noexcept;

/// The address in this process of what was named `ref`: through `table`, or through this process's
/// own registry if that is nullptr. Loads the library if this process does not have it. Throws Error
/// with its path if that fails or the file has changed, CodecError if `ref` names no code.
const void* find_code(const ModuleTable* table, EntryRef ref);
/// Likewise for a portable name. Without a table only modules loaded in this process can be found.
const void* find_code(const ModuleTable* table, CodeName name);

}  // namespace retinue::detail
