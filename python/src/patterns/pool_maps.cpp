#include "patterns/pool_maps.hpp"

#include <utility>

namespace retinue::python {

std::vector<std::shared_ptr<MapTasks>> PoolMaps::living() const {
  std::vector<std::shared_ptr<MapTasks>> all;
  for (const auto& weak : all_)
    if (auto tasks = weak.lock()) all.push_back(std::move(tasks));
  return all;
}

void PoolMaps::sweep() {
  std::erase_if(all_, [](const auto& map) { return map.expired(); });
  // Releasing a map may run code of the program's, which may submit and so call this again.
  for (auto& map : std::exchange(dropped_, {}))
    if (!map->drop_results()) dropped_.push_back(std::move(map));
}

void PoolMaps::drop(const std::shared_ptr<MapTasks>& tasks) {
  if (tasks->is_made_elsewhere()) return;
  if (tasks->is_being_read_to_its_end()) return dropped_.push_back(tasks);
  if (tasks->closed() || !tasks->untouched() || ended_) return tasks->close();
  if (tasks->has_reader()) {
    tasks->go_on_alone();
    return dropped_.push_back(tasks);
  }
  try {
    tasks->read_all();
  } catch (...) {
    tasks->close();
    throw;
  }
  dropped_.push_back(tasks);
}

void PoolMaps::end() {
  ended_ = true;
  for (const auto& tasks : living()) tasks->end_reading();
}

}  // namespace retinue::python
