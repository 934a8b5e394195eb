// The maps of one pool.
#pragma once

#include <memory>
#include <vector>

#include "patterns/map.hpp"

namespace retinue::python {

/// Knows the maps that are being read, and keeps those that nobody reads any more and whose tasks run all the same. With
/// the GIL held.
class PoolMaps {
 public:
  void add(const std::shared_ptr<MapTasks>& tasks) { all_.push_back(tasks); }
  std::vector<std::shared_ptr<MapTasks>> living() const;

  /// An iterator goes: what its inputs still hold is submitted if nobody has begun to read it. Throws PythonError with
  /// what the inputs raise.
  void drop(const std::shared_ptr<MapTasks>& tasks);
  bool has_dropped() const noexcept { return !dropped_.empty(); }
  /// Releases results of those, which may run code of the program's (`__del__`).
  void sweep();
  std::vector<std::shared_ptr<MapTasks>> take_dropped() noexcept { return std::exchange(dropped_, {}); }

  /// The end of the pool begins: nothing more is read for it.
  void end();

 private:
  std::vector<std::weak_ptr<MapTasks>> all_;
  std::vector<std::shared_ptr<MapTasks>> dropped_;
  bool ended_ = false;
};

}  // namespace retinue::python
