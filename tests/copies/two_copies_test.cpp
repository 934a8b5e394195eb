// Programs with more than one copy of the library in them: each by itself works, and what passes between them is an Error.
#include "part.hpp"
#include "unit/pool_tasks.hpp"

#include <dlfcn.h>
#include <string>
#include <vector>

namespace {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::ThreadPool;

/// Loaded once, and to the end of the process.
const Part& part(const char* path) {
  void* const library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(::dlerror());
  return *reinterpret_cast<const Part* (*)()>(::dlsym(library, "retinue_test_part"))();
}
const Part& first() { return part(RETINUE_TEST_FIRST_PART); }
const Part& second() { return part(RETINUE_TEST_SECOND_PART); }

/// What each copy keeps to the end of the process is there before the first test.
class Parts : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(first().run(), 0);
    ASSERT_EQ(second().run(), 0);
  }
};
[[maybe_unused]] ::testing::Environment* const parts = ::testing::AddGlobalTestEnvironment(new Parts);

void expect_two_copies(const std::string& what) { EXPECT_NE(what.find("two copies"), std::string::npos) << what; }

TEST(TwoCopies, that_have_nothing_to_do_with_each_other_work) {
  ProcessPool pool(1);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(first().run(), 0);
    EXPECT_EQ(second().run(), 0);
    EXPECT_EQ(pool.submit(square, 3).get(), 9);
  }
}

TEST(TwoCopies, work_in_each_others_tasks_and_in_forked_children) {
  ProcessPool pool(1);
  (void)second();
  EXPECT_EQ(pool.submit([] { return second().run(); }).get(), 0);
  EXPECT_TRUE(in_child([] { return first().run(); }).exited_with(0));
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(TwoCopies, say_so_where_one_gets_a_pool_of_the_others) {
  ProcessPool pool(1);
  ThreadPool threads(1);
  for (const Part* each : {&first(), &second()}) {
    expect_two_copies(each->submit(pool));
    expect_two_copies(each->map(pool));
    expect_two_copies(each->take_backend(pool));
    expect_two_copies(each->submit_to_threads(threads));
  }
  EXPECT_EQ(pool.submit(square, 3).get(), 9) << "which is none the worse for it";
  EXPECT_EQ(threads.submit(square, 3).get(), 9);
}

TEST(TwoCopies, say_so_where_one_would_wait_for_a_future_of_the_others) {
  ProcessPool pool(1);
  ThreadPool threads(1);
  auto future = pool.submit(gated, 3);
  auto of_threads = threads.submit(gated, 4);
  expect_two_copies(first().wait_for_any(future));
  expect_two_copies(second().wait_for_any(of_threads));
  board().gate.store(1);
  EXPECT_EQ(future.get(), 3);
  EXPECT_EQ(of_threads.get(), 4);
  EXPECT_EQ(first().wait_for_any(future), "") << "there is nothing to wait for";
}

TEST(TwoCopies, may_end_each_others_pools) {
  ProcessPool pool(2);
  const auto pids = pool.worker_pids();
  auto future = pool.submit([] {
    nap(100ms);
    return 5;
  });
  first().end(pool);
  EXPECT_EQ(future.get(), 5) << "what was submitted is finished";
  EXPECT_TRUE(eventually([&] { return is_gone(pids[0]) && is_gone(pids[1]); }));
}

}  // namespace
