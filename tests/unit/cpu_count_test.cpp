// cpu_count() over invented /proc and /sys trees.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sched.h>
#include <string>
#include <thread>

#include <retinue/cpu_count.hpp>

#include "system/cpu_quota.hpp"

namespace cpu_count_test {

namespace fs = std::filesystem;

class CpuCount : public testing::Test {
 protected:
  CpuCount() {
    std::string name = (fs::temp_directory_path() / "retinue-cpu-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~CpuCount() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_.string() + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void v2_mount(const std::string& group, const std::string& root = "/") {
    write("/proc/self/cgroup", "0::" + group + "\n");
    write("/proc/self/mountinfo",
          "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
          "29 22 0:26 " +
              root + " /sys/fs/cgroup rw,nosuid shared:4 master:2 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void v1_mount(const std::string& group, const std::string& root = "/") {
    write("/proc/self/cgroup", "5:memory:/elsewhere\n4:cpu,cpuacct:" + group + "\n3:cpuset:/\n1:name=systemd:/init\n");
    write("/proc/self/mountinfo",
          "31 22 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
          "32 22 0:29 " +
              root + " /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n");
  }
  void v1_quota(const std::string& group, const std::string& quota, const std::string& period = "100000") {
    write("/sys/fs/cgroup/cpu,cpuacct" + group + "/cpu.cfs_quota_us", quota + "\n");
    write("/sys/fs/cgroup/cpu,cpuacct" + group + "/cpu.cfs_period_us", period + "\n");
  }
  unsigned count(unsigned affinity = 16) { return retinue::detail::cpu_count_from(root_.string(), affinity); }

  fs::path root_;
};

TEST_F(CpuCount, without_any_file_the_affinity_counts) { EXPECT_EQ(count(), 16U); }

TEST_F(CpuCount, is_never_zero) { EXPECT_EQ(count(0), 1U); }

TEST_F(CpuCount, a_v2_quota_of_one_and_a_half_cpus_counts_two) {
  v2_mount("/");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(count(), 2U);
}

TEST_F(CpuCount, a_v2_quota_of_a_tenth_counts_one) {
  v2_mount("/job");
  write("/sys/fs/cgroup/job/cpu.max", "10000 100000\n");
  EXPECT_EQ(count(), 1U);
}

TEST_F(CpuCount, a_v2_quota_of_max_limits_nothing) {
  v2_mount("/job");
  write("/sys/fs/cgroup/job/cpu.max", "max 100000\n");
  EXPECT_EQ(count(), 16U);
}

TEST_F(CpuCount, the_affinity_counts_when_it_is_the_smaller) {
  v2_mount("/job");
  write("/sys/fs/cgroup/job/cpu.max", "800000 100000\n");
  EXPECT_EQ(count(2), 2U);
}

TEST_F(CpuCount, the_tightest_of_nested_v2_groups_counts_wherever_it_stands) {
  v2_mount("/a/b/c");
  write("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/a/b/c/cpu.max", "700000 100000\n");
  EXPECT_EQ(count(), 3U);
  write("/sys/fs/cgroup/a/b/c/cpu.max", "100000 50000\n");
  EXPECT_EQ(count(), 2U);
  write("/sys/fs/cgroup/a/b/other/cpu.max", "1 100000\n");  // a sibling's
  EXPECT_EQ(count(), 2U);
}

TEST_F(CpuCount, a_group_that_is_not_shown_passes_over_to_those_above) {
  v2_mount("/a/hidden/deeper");
  write("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  EXPECT_EQ(count(), 3U);
}

TEST_F(CpuCount, a_v1_quota_counts_and_minus_one_does_not) {
  v1_mount("/job/inner");
  v1_quota("", "-1");
  v1_quota("/job", "250000");
  v1_quota("/job/inner", "-1");
  EXPECT_EQ(count(), 3U);
}

TEST_F(CpuCount, a_v1_container_that_sees_its_group_as_the_root_of_the_mount) {
  v1_mount("/docker/abc/worker", "/docker/abc");
  v1_quota("", "400000");
  v1_quota("/worker", "200000");
  EXPECT_EQ(count(), 2U);
}

TEST_F(CpuCount, a_group_whose_name_only_begins_alike_is_not_below) {
  v1_mount("/docker/abcdef", "/docker/abc");
  v1_quota("", "400000");
  v1_quota("def", "100000");
  EXPECT_EQ(count(), 4U);  // falls back to what is mounted
}

TEST_F(CpuCount, a_group_above_the_namespace_falls_back_to_what_is_mounted) {
  v2_mount("/../../other");
  write("/sys/fs/cgroup/cpu.max", "400000 100000\n");
  EXPECT_EQ(count(), 4U);
}

TEST_F(CpuCount, both_hierarchies_of_a_hybrid_system_count) {
  write("/proc/self/cgroup", "1:cpu:/one\n0::/two\n");
  write("/proc/self/mountinfo",
        "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu\n"
        "41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n");
  write("/cg/cpu/one/cpu.cfs_quota_us", "500000\n");
  write("/cg/cpu/one/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(count(), 5U);
  write("/cg/unified/two/cpu.max", "400000 100000\n");
  EXPECT_EQ(count(), 4U);
}

TEST_F(CpuCount, a_mount_point_with_a_blank_is_found) {
  write("/proc/self/cgroup", "0::/job\n");
  write("/proc/self/mountinfo", "41 31 0:38 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
  write("/my groups/job/cpu.max", "200000 100000\n");
  EXPECT_EQ(count(), 2U);
}

TEST_F(CpuCount, broken_files_limit_nothing) {
  v2_mount("/job");
  for (const char* text : {"", "\n", "banana 100000", "100000", "100000 0", "0 100000", "-5 100000", "1e5 100000",
                           "99999999999999999999999999 100000", "100000 banana"}) {
    write("/sys/fs/cgroup/job/cpu.max", text);
    EXPECT_EQ(count(), 16U) << text;
  }
  write("/sys/fs/cgroup/job/cpu.max", "18446744073709551615 1");
  EXPECT_EQ(count(), 16U);
  write("/proc/self/cgroup", "nonsense\n0:\n::::\n0::");
  write("/proc/self/mountinfo", "nonsense\n - \n1 2 - cgroup2\n1 2 3 4 5 - \n1 2 0:1 / /x - cgroup\n");
  EXPECT_EQ(count(), 16U);
}

TEST_F(CpuCount, a_narrowed_affinity_is_seen_at_once) {
  std::thread([] {
    const unsigned before = retinue::cpu_count();
    EXPECT_GE(before, 1U);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(retinue::cpu_count(), 1U);
  }).join();
}

}  // namespace cpu_count_test
