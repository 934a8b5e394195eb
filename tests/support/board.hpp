// Memory that a test shares with its workers and children.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "patience.hpp"

namespace retinue_test {

/// Memory that the test, its workers and its children all see; cleared before each test.
struct Board {
  std::atomic<int> counters[64];
  std::atomic<int> gate;
  std::atomic<int> at_gate;
  std::atomic<std::uint8_t> runs[1 << 20];  ///< how often a task of this number ran

  /// For tasks: waits until the test opens the gate.
  void pass_gate() {
    at_gate.fetch_add(1);
    while (gate.load() == 0) nap();
  }
  void clear() {
    for (auto& c : counters) c.store(0);
    gate.store(0);
    at_gate.store(0);
    std::memset(static_cast<void*>(runs), 0, sizeof runs);
  }
};

/// The one of this process and its children.
Board& board();

}  // namespace retinue_test
