// The owner's one anonymous shared-memory file, mapped at the same address in all its processes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <retinue/detail/codec/entry.hpp>

#include "system/fd.hpp"
#include "memory_rules.hpp"
#include "shared_file.hpp"

namespace retinue::detail {

/// What the region begins with.
struct RegionHead {
  ModuleTable modules;
  MemoryRules rules;
};

/// Where the region lies in this process, and its head. File and addresses are constant; the head's module table has its own
/// counter, its rules are atomic. Thread-safe.
class RegionMapping {
 public:
  RegionMapping(const RegionMapping&) = delete;
  RegionMapping& operator=(const RegionMapping&) = delete;

  std::byte* at(std::uint64_t offset) const noexcept { return base_ + offset; }
  std::uint64_t offset_of(const void* p) const noexcept {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(p) - base_);
  }
  bool holds(const void* p) const noexcept { return p >= base_ && static_cast<const std::byte*>(p) < base_ + reach_; }
  /// -1 if this process has closed it, and it cannot be had again.
  int memfd() const noexcept { return file_.fd(); }
  const SharedFile& file() const noexcept { return file_; }
  /// A process that has just inherited the file and closes nothing: a fork server.
  void set_file_holder(pid_t process) noexcept { file_.set_holder(process); }
  std::byte* base() const noexcept { return base_; }
  std::uint64_t reach() const noexcept { return reach_; }
  const ModuleTable* modules() const noexcept { return &head_->modules; }
  /// As the processes of the owner read them.
  const MemoryRules& rules() const noexcept { return head_->rules; }
  /// Bytes that the file may take, or MemoryRules::kNone. For the owner.
  std::uint64_t limit() const noexcept { return own_rules_.limit.load(std::memory_order_relaxed); }
  void set_limit(std::uint64_t bytes) noexcept;
  void set_kept_by_worker(std::uint64_t bytes) noexcept;
  /// Wants back what workers keep for their next results. They see it when they next go to sleep or allocate.
  void recall_warm_memory() noexcept;
  /// Writes again what a stray process has overwritten in the region's head. True if anything was.
  bool repair_head() noexcept;
  /// Asks for huge pages in this process's mapping. False if the kernel knows nothing of them.
  bool use_huge_pages() noexcept;

 protected:
  /// The owner's: a new file. Throws ResourceExhausted when it cannot be made.
  RegionMapping();
  /// The same file in a program started anew. Throws ResourceExhausted if something else lies there.
  RegionMapping(int memfd, std::uintptr_t base, std::uint64_t reach);
  ~RegionMapping();

  static std::uint64_t round_to_page(std::uint64_t n) noexcept;
  /// Where the head ends, at a page's end.
  static std::uint64_t head_bytes() noexcept { return round_to_page(sizeof(RegionHead)); }
  void use_huge_pages_if_wanted() noexcept;

  UniqueFd memfd_;  // the number it was made with
  SharedFile file_;
  MemoryRules own_rules_;  // what the owner goes by: nobody else can write to it

 private:
  std::byte* base_ = nullptr;
  std::uint64_t reach_ = 0;  // bytes of address space
  RegionHead* head_ = nullptr;
  const bool made_here_;
};

}  // namespace retinue::detail
