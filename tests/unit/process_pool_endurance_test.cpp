// Many pools, many workers, many tasks: what tests/endurance does by hand, as much of it as a few seconds allow.
#include "support/process_watch.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <vector>

#include <retinue/retinue.hpp>

#include "endurance/growth.hpp"
#include "endurance/meeting.hpp"

namespace process_pool_endurance_test {

using namespace retinue_test;
using endurance::Meeting;
using endurance::usage_of;
using retinue::Future;
using retinue::ProcessPool;
using retinue::WorkerDied;

int twice(int x) { return 2 * x; }

/// A mapping more or less is malloc's affair. The sanitizers keep what was freed for a while, and count as memory.
const endurance::Allowed kAllowed = {.kilobytes = kSlowdown > 1 ? 1e9 : 2048.0, .count = kSlowdown > 1 ? 50.0 : 3.0};

TEST(ProcessPoolEndurance, a_hundred_pools_in_a_row_take_no_more_of_anything) {
  const int pools = 100 / (kSlowdown > 1 ? 4 : 1);
  std::vector<endurance::Usage> samples;
  for (int i = 0; i < pools; ++i) {
    {
      ProcessPool pool(static_cast<unsigned>(1 + i % 3));
      if (i % 4 == 0) continue;
      EXPECT_EQ(pool.submit(twice, i).get(), 2 * i);
      EXPECT_EQ(pool.submit([](const std::string& s) { return s + s; }, std::string(300'000, 'x')).get().size(),
                600'000u);
      if (i % 4 == 1) {
        EXPECT_THROW(pool.submit([] { std::raise(SIGKILL); }).get(), WorkerDied);
      }
      if (i % 4 == 2) pool.terminate();
    }
    samples.push_back(usage_of(::getpid()));
  }
  EXPECT_EQ(what_grows(samples, kAllowed), "");
}

TEST(ProcessPoolEndurance, fifty_pools_at_once_work_and_leave_nothing) {
  std::vector<std::unique_ptr<ProcessPool>> pools;
  for (int i = 0; i < (kSlowdown > 1 ? 12 : 50); ++i) pools.push_back(std::make_unique<ProcessPool>(2));
  std::vector<Future<int>> futures;
  for (auto& pool : pools)
    for (int i = 0; i < 10; ++i) futures.push_back(pool->submit(twice, i));
  for (std::size_t i = 0; i < futures.size(); ++i) EXPECT_EQ(futures[i].get(), static_cast<int>(2 * (i % 10)));
}

/// Each of `n` workers runs a task, all at the same time. Their pids, in order.
std::vector<pid_t> all_meet(ProcessPool& pool, std::uint32_t n) {
  retinue::SharedArray<Meeting> meeting(1);
  std::vector<Future<pid_t>> futures;
  for (std::uint32_t i = 0; i < n; ++i) futures.push_back(pool.submit(endurance::meet, meeting.span(), n));
  std::vector<pid_t> pids;
  for (auto& f : futures) {
    EXPECT_EQ(f.wait_for(40s * kPatience), retinue::FutureStatus::ready);
    if (!f.done()) {
      pool.terminate();  // `meeting` must outlive its tasks
      return {};
    }
    pids.push_back(f.get());
  }
  std::ranges::sort(pids);
  EXPECT_TRUE(std::ranges::adjacent_find(pids) == pids.end()) << "each ran one";
  return pids;
}

TEST(ProcessPoolEndurance, a_thousand_workers_run_at_once_and_are_replaced_when_they_are_killed) {
  const std::uint32_t n = kSlowdown > 1 ? 60 : 1000;
  rlimit most{};
  ::getrlimit(RLIMIT_NPROC, &most);
  if (most.rlim_cur < 2 * n) GTEST_SKIP() << "ulimit -u allows " << most.rlim_cur << " processes only";
  ProcessPool pool(n);
  const auto first = all_meet(pool, n);
  ASSERT_EQ(first.size(), n);
  for (std::uint32_t i = 0; i < n; i += 10) ::kill(first[i], SIGKILL);
  const auto second = all_meet(pool, n);
  ASSERT_EQ(second.size(), n);
  std::vector<pid_t> in_both;
  std::ranges::set_intersection(first, second, std::back_inserter(in_both));
  EXPECT_EQ(in_both.size(), n - (n + 9) / 10);
  EXPECT_EQ(pool.stats().workers_died, (n + 9) / 10);
}

TEST(ProcessPoolEndurance, a_million_submitted_tasks_take_no_more_memory_than_the_first_of_them) {
  ProcessPool pool(2);
  std::vector<endurance::Usage> samples;
  std::vector<Future<int>> futures;
  const int batches = 50,
            batch = 20'000 / kSlowdown;  // more than there are slots: the rest waits in the owner's memory
  for (int k = 0; k < batches; ++k) {
    futures.clear();
    for (int i = 0; i < batch; ++i) futures.push_back(pool.submit(twice, i));
    for (int i = 0; i < batch; ++i) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), 2 * i);
    samples.push_back(usage_of(::getpid()));
  }
  EXPECT_EQ(what_grows(samples, kAllowed), "");
}

// What the tests above rely on -----------------------------------------------------------------------

TEST(Growth, is_found_in_memory_and_in_counts_and_not_in_what_comes_and_goes) {
  const auto samples_of = [](auto&& change) {
    std::vector<endurance::Usage> samples(100);
    for (std::size_t i = 0; i < samples.size(); ++i) change(samples[i], static_cast<long>(i));
    return samples;
  };
  const endurance::Allowed allowed;
  EXPECT_EQ(what_grows(samples_of([](auto&, long) {}), allowed), "");
  EXPECT_EQ(what_grows(samples_of([](auto& u, long i) { u.owner_private = i < 25 ? 100 * i : 2500; }), allowed), "")
      << "a warm-up is no growth";
  EXPECT_EQ(what_grows(samples_of([](auto& u, long i) { u.all_pss = i % 7 * 5000; }), allowed), "");
  EXPECT_NE(what_grows(samples_of([](auto& u, long i) { u.all_pss = i % 7 * 100 + i * 30; }), allowed), "");
  EXPECT_NE(what_grows(samples_of([](auto& u, long i) { u.owner_descriptors = i / 40; }), allowed), "");
  EXPECT_NE(what_grows(samples_of([](auto& u, long i) { u.threads = i < 70 ? 2 : 3; }), allowed), "");
  EXPECT_NE(what_grows(std::vector<endurance::Usage>(3), allowed), "") << "too few to tell";
}

TEST(Growth, is_measured_by_what_the_kernel_says) {
  const auto before = usage_of(::getpid());
  const int fd = ::dup(STDERR_FILENO);
  void* const memory = ::mmap(nullptr, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  ::madvise(memory, 8 << 20, MADV_NOHUGEPAGE);  // its own entry in maps, and page by page
  std::memset(memory, 1, 8 << 20);
  ProcessPool pool(2);
  ASSERT_EQ(pool.submit(twice, 1).get(), 2);
  const retinue::SharedArray<char> array(8 << 20, 'x');
  const auto after = usage_of(::getpid());
  EXPECT_GE(after.owner_private, before.owner_private + 8000);
  EXPECT_GE(after.owner_resident, before.owner_resident + 16000);
  EXPECT_GE(after.shared, before.shared + 8000);
  EXPECT_GE(after.all_pss, before.all_pss + 16000);
  EXPECT_GT(after.workers_pss, 0);
  EXPECT_GT(after.servers_pss, 0);
  EXPECT_GT(after.owner_descriptors, before.owner_descriptors);
  EXPECT_GT(after.all_descriptors, after.owner_descriptors);
  EXPECT_GT(after.owner_mappings, before.owner_mappings);
  EXPECT_EQ(after.threads, before.threads + 2) << "the service thread, and the one that waits for the fork server";
  EXPECT_EQ(after.processes, before.processes + 3) << "a fork server and two workers";
  ::munmap(memory, 8 << 20);
  ::close(fd);
}

}  // namespace process_pool_endurance_test
