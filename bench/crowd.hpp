// What else there is in a process that has grown, and on its machine: idle threads, many live objects; neighbours,
// processes that have work for a CPU each. And a child in which something is measured that wants a process to itself.
#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "child_process.hpp"

namespace bench {

/// Threads that wait, until this goes.
class IdleThreads {
 public:
  explicit IdleThreads(int n) {
    for (int i = 0; i < n; ++i)
      threads_.emplace_back([this](const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        never_.wait(lock, stop, [] { return false; });
      });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any never_;
  std::vector<std::jthread> threads_;
};

/// Strings that make the process larger by so many megabytes.
inline std::deque<std::string> live_objects(double megabytes) {
  const auto resident_mb = [] {
    std::ifstream file("/proc/self/statm");
    double size = 0, resident = 0;
    file >> size >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
  };
  std::deque<std::string> objects;
  for (const double enough = resident_mb() + megabytes; resident_mb() < enough;)
    for (int i = 0; i < 10'000; ++i)
      objects.push_back("a string that is too long to lie in its object: " + std::to_string(objects.size()));
  return objects;
}

/// 20 idle threads and 300 MB of live objects.
struct Crowd {
  IdleThreads threads{20};
  std::deque<std::string> objects = live_objects(300);
};

/// Processes that count, pinned nowhere, one for each CPU but one.
class Neighbours {
 public:
  Neighbours() {
    cpu_set_t cpus;
    if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) call_failed("sched_getaffinity");
    for (int i = 1; i < CPU_COUNT(&cpus); ++i) {
      counters_.push_back(std::make_unique<Shared<Counter>>());
      Shared<Counter>& counter = *counters_.back();
      children_.push_back(std::make_unique<Child>([&counter] {
        for (;;) {
          for (int n = 0; n < 10'000; ++n) asm volatile("");
          counter->done.fetch_add(1, std::memory_order_relaxed);
        }
      }));
    }
    for (const auto& counter : counters_)
      while ((*counter)->done.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  bool any() const noexcept { return !children_.empty(); }

  /// What they have counted together.
  double count() const {
    std::uint64_t sum = 0;
    for (const auto& counter : counters_) sum += (*counter)->done.load(std::memory_order_relaxed);
    return static_cast<double>(sum);
  }

 private:
  struct Counter {
    alignas(64) std::atomic<std::uint64_t> done{0};
  };
  std::vector<std::unique_ptr<Shared<Counter>>> counters_;
  std::vector<std::unique_ptr<Child>> children_;
};

/// What `f` gives, which runs in a child that nothing was measured in before. T is copied as bytes.
template <class T, class F>
T apart(F&& f) {
  struct Answer {
    bool fine = false;
    T value{};
    char what[200]{};
  };
  Pipe pipe;
  Child child([&] {
    Answer answer;
    try {
      answer.value = std::forward<F>(f)();
      answer.fine = true;
    } catch (const std::exception& e) {
      std::string(e.what()).copy(answer.what, sizeof answer.what - 1);
    }
    pipe.send(answer);
  });
  pipe.close_in();
  const auto answer = pipe.template receive<Answer>();
  child.reap();
  if (!answer.fine) throw std::runtime_error(answer.what);
  return answer.value;
}

}  // namespace bench
