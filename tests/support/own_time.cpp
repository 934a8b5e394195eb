#include "own_time.hpp"

#include <algorithm>
#include <sstream>
#include <string>
#include <unistd.h>

#include "processes.hpp"

namespace retinue_test {

std::chrono::nanoseconds waited_for_cpu(pid_t pid) {
  std::istringstream fields(text_of("/proc/" + std::to_string(pid) + "/schedstat"));
  long long ran = 0, waited = 0;
  return std::chrono::nanoseconds(fields >> ran >> waited ? waited : 0);
}

void OwnTime::look_at(const std::set<pid_t>& pids) {
  const auto look = [this](pid_t pid) {
    const auto waited = waited_for_cpu(pid);
    Waits& its = waits_.try_emplace(pid, Waits{waited, waited}).first->second;
    its.so_far = std::max(its.so_far, waited);
  };
  for (const pid_t pid : pids) look(pid);
  look(::getpid());
}

std::chrono::milliseconds OwnTime::passed() const {
  std::chrono::nanoseconds own = Clock::now() - begin_;
  for (const auto& [pid, its] : waits_) own -= its.so_far - its.before;
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::max(own, std::chrono::nanoseconds(0)));
}

}  // namespace retinue_test
