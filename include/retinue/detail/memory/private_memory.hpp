// Bytes of shared memory as private, writable memory, without copying them.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

namespace retinue::detail {

/// A copy-on-write view of bytes that lie in shared memory: what is written to it nobody else sees, and a page is copied
/// when it is first written to. So it is as good as a copy as long as the bytes below stay as they are, which is for its
/// maker to see to, in one of two ways:
///
/// - a `source` that keeps them, freed with the last view of it;
/// - or none, for the arguments of a task, which stay until the task ends; `complete_borrowed` comes before that end.
///
/// A fork completes all of them first: a child's views must not depend on what its parent keeps. A complete view is
/// ordinary private memory. Thread-safe, each object for one thread at a time; movable.
class PrivateMemory {
 public:
  /// Below this many bytes a copy is quicker than a view. Measured: a view of 1 MB and its page faults take 60 µs, a
  /// copy of 1 MB 30 µs into memory that is there and 500 µs into fresh; bench/python/python_large_data.py.
  static constexpr std::size_t kWorthwhile = std::size_t{1} << 20;

  /// A view of `bytes` at `data`. Nullopt if the bytes are not in shared memory, or the process has very many views, or
  /// the kernel refuses: then copy.
  static std::optional<PrivateMemory> of(const void* data, std::size_t bytes,
                                         std::shared_ptr<const void> source) noexcept;

  PrivateMemory(PrivateMemory&& other) noexcept;
  PrivateMemory& operator=(PrivateMemory&&) = delete;
  ~PrivateMemory();

  void* data() const noexcept;
  std::size_t size() const noexcept;

 private:
  struct View;
  struct Views;
  friend void complete_borrowed() noexcept;
  explicit PrivateMemory(std::unique_ptr<View> view) noexcept;
  std::unique_ptr<View> view_;
};

/// Copies what is left to copy of the views that have no source. For the end of a task, whose arguments may be reused
/// from then on: views that are still there are those the task has kept somewhere.
void complete_borrowed() noexcept;

}  // namespace retinue::detail
