// What the machine and its control groups say of memory, over invented /proc and /sys trees; and how much is kept of it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "memory/warm_share.hpp"
#include "system/machine_memory.hpp"

namespace machine_memory_test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using retinue::detail::IdlePeriods;
using retinue::detail::MachineMemory;
using retinue::detail::MemoryWatch;
using retinue::detail::WarmShare;

constexpr std::uint64_t kMiB = 1 << 20;

class Memory : public testing::Test {
 protected:
  Memory() {
    std::string name = (fs::temp_directory_path() / "retinue-memory-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    meminfo(16384 * kMiB, 8192 * kMiB);
  }
  ~Memory() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_.string() + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void meminfo(std::uint64_t total, std::uint64_t available) {
    write("/proc/meminfo", "MemTotal:       " + std::to_string(total / 1024) +
                               " kB\nMemFree:        1 kB\nMemAvailable:   " + std::to_string(available / 1024) +
                               " kB\nSwapFree:       2048 kB\n");
  }
  void v2(const std::string& group) {
    write("/proc/self/cgroup", "0::" + group + "\n");
    write("/proc/self/mountinfo", "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n");
  }
  void v2_group(const std::string& group, const std::string& limit, std::uint64_t used, std::uint64_t cached) {
    write("/sys/fs/cgroup" + group + "/memory.max", limit + "\n");
    write("/sys/fs/cgroup" + group + "/memory.current", std::to_string(used) + "\n");
    write("/sys/fs/cgroup" + group + "/memory.stat",
          "anon 1\ninactive_file " + std::to_string(cached / 2) + "\nactive_file " + std::to_string(cached / 2) + "\n");
  }
  MachineMemory look() {
    const auto memory = MemoryWatch(root_.string()).look();
    EXPECT_TRUE(memory.has_value());
    return memory.value_or(MachineMemory{});
  }

  fs::path root_;
};

TEST_F(Memory, without_groups_it_is_what_the_machine_has) {
  EXPECT_EQ(look().total, 16384 * kMiB);
  EXPECT_EQ(look().available, 8192 * kMiB);
  EXPECT_EQ(look().swap_free, 2 * kMiB);
  EXPECT_FALSE(look().is_short());
  meminfo(16384 * kMiB, 2047 * kMiB);
  EXPECT_TRUE(look().is_short()) << "less than an eighth";
}

TEST_F(Memory, is_unknown_without_meminfo) {
  fs::remove(root_ / "proc/meminfo");
  EXPECT_FALSE(MemoryWatch(root_.string()).look().has_value());
  write("/proc/meminfo", "MemTotal: much\n");
  EXPECT_FALSE(MemoryWatch(root_.string()).look().has_value());
}

TEST_F(Memory, a_groups_limit_holds_and_what_it_has_cached_counts_as_left) {
  v2("/user/job");
  v2_group("/user/job", std::to_string(1024 * kMiB), 900 * kMiB, 400 * kMiB);
  EXPECT_EQ(look().total, 1024 * kMiB);
  EXPECT_EQ(look().available, 524 * kMiB);
  v2_group("/user/job", std::to_string(1024 * kMiB), 1000 * kMiB, 0);
  EXPECT_TRUE(look().is_short());
}

TEST_F(Memory, the_limit_of_a_group_above_holds_too) {
  v2("/user/job");
  v2_group("/user/job", "max", 100 * kMiB, 0);
  v2_group("/user", std::to_string(512 * kMiB), 500 * kMiB, 0);
  EXPECT_EQ(look().total, 512 * kMiB);
  EXPECT_EQ(look().available, 12 * kMiB);
}

TEST_F(Memory, limits_of_the_first_version_hold_and_none_is_a_very_large_one) {
  write("/proc/self/cgroup", "4:memory:/job\n");
  write("/proc/self/mountinfo", "32 22 0:29 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n");
  write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", std::to_string(256 * kMiB) + "\n");
  write("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", std::to_string(200 * kMiB) + "\n");
  write("/sys/fs/cgroup/memory/job/memory.stat",
        "inactive_file 1\ntotal_inactive_file 10485760\ntotal_active_file 0\n");
  EXPECT_EQ(look().total, 256 * kMiB);
  EXPECT_EQ(look().available, 66 * kMiB);
}

TEST_F(Memory, a_sixteenth_is_kept_half_of_it_by_the_owner_the_rest_by_its_workers) {
  WarmShare share(root_.string());
  share.look(0, 4, false);
  EXPECT_EQ(share.of_owner(), 256 * kMiB);
  EXPECT_EQ(share.of_worker(), 64 * kMiB);
  meminfo(16384 * kMiB, 4096 * kMiB);
  share.look(4096 * kMiB, 1, false);  // what is kept by now counts as left
  EXPECT_EQ(share.of_owner(), 256 * kMiB);
  EXPECT_EQ(share.of_worker(), 256 * kMiB);
}

TEST_F(Memory, nothing_is_kept_when_memory_is_short_or_limited_unless_asked_for) {
  WarmShare share(root_.string());
  share.look(0, 1, true);
  EXPECT_EQ(share.of_owner(), 0u);
  EXPECT_FALSE(share.memory_is_short());
  share.set_wanted(100 * kMiB);
  share.look(0, 1, true);
  EXPECT_EQ(share.of_owner(), 50 * kMiB);
  meminfo(16384 * kMiB, 1000 * kMiB);
  share.look(0, 1, false);
  EXPECT_TRUE(share.memory_is_short());
  EXPECT_EQ(share.of_owner(), 0u);
  EXPECT_EQ(share.of_worker(), 0u);
}

TEST(IdlePeriods, say_whether_anything_was_used_in_them) {
  IdlePeriods periods;
  const auto start = IdlePeriods::Clock::now();
  EXPECT_FALSE(periods.look(7, start).at_end) << "the first look begins one";
  EXPECT_FALSE(periods.look(7, start + 1s).at_end);
  EXPECT_TRUE(periods.look(8, start + 2s).at_end);
  EXPECT_EQ(periods.end(), start + 4s);
  const auto second = periods.look(8, start + 5s);
  EXPECT_TRUE(second.at_end && second.was_idle);
  const auto third = periods.look(9, start + 7s);
  EXPECT_TRUE(third.at_end && !third.was_idle);
  periods.stop();
  EXPECT_FALSE(periods.end().has_value());
}

}  // namespace machine_memory_test
