// Two processes that poll a word each: what the caches need to carry a number to another core and back. On a virtual
// machine that changes from minute to minute by a factor of five, with the cores that it is given, and every figure
// of an engine between processes with it.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "child_process.hpp"

namespace bench {

class SpinningPartner {
 public:
  /// One round trip; gives i + 1.
  int trip(int i) {
    words_->request.store(++turn_, std::memory_order_release);
    await(words_->answer, turn_);
    return i + 1;
  }

 private:
  struct Words {
    alignas(64) std::atomic<std::uint32_t> request{0};
    alignas(64) std::atomic<std::uint32_t> answer{0};
  };

  /// With one CPU it would never end, so this yields now and then.
  static void await(const std::atomic<std::uint32_t>& word, std::uint32_t value) {
    for (unsigned n = 1; word.load(std::memory_order_acquire) != value; ++n)
      if (n % 4096 == 0) std::this_thread::yield();
  }

  Shared<Words> words_;
  std::uint32_t turn_ = 0;
  Child child_{[this] {
    for (std::uint32_t turn = 1;; ++turn) {
      await(words_->request, turn);
      words_->answer.store(turn, std::memory_order_release);
    }
  }};
};

}  // namespace bench
