// What schedulers hold: entries with encoded arguments, on whatever runs them.
#include "pool_tasks.hpp"

#include <cstring>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <retinue/detail/codec/payload.hpp>
#include <retinue/detail/tasks/backend.hpp>
#include <retinue/serial_executor.hpp>
#include <retinue/shared_array.hpp>
#include <retinue/shared_memory.hpp>
#include <retinue/thread_pool.hpp>

namespace backend_test {

using namespace retinue_test;
using namespace retinue::detail;
using namespace std::chrono_literals;
using retinue::ProcessPool;
using retinue::SerialExecutor;
using retinue::ThreadPool;

using Numbers = std::vector<std::uint64_t>;

// Entries take a vector of numbers and give one.
template <auto function>
void entry(TaskContext& context) {
  retinue::Reader arguments(context.arguments().data(), context.arguments().size(), context.modules());
  const auto numbers = read_payload<Numbers>(arguments);
  const auto value = function(numbers);
  const std::size_t bytes = payload_size(value);
  write_payload(context.result(bytes), bytes, value);
}
Numbers doubled(const Numbers& numbers) {
  Numbers result = numbers;
  for (auto& x : result) x *= 2;
  return result;
}
Numbers refuse(const Numbers& numbers) { throw std::domain_error("refused " + std::to_string(numbers.size())); }
Numbers wait_at_gate(const Numbers& numbers) {
  board().pass_gate();
  return numbers;
}
Numbers die(const Numbers& numbers) { ::_exit(static_cast<int>(numbers.at(0))); }
// Fails when its large result has room already.
void fail_late(TaskContext& context) {
  context.result(100'000);
  throw std::domain_error("late");
}

template <auto function>
EntryRef named() {
  return name_code(reinterpret_cast<const void*>(&entry<function>));
}
void stage(StagedPayload& payload, const Numbers& numbers) {
  const std::size_t bytes = payload_size(numbers);
  write_payload(payload.prepare(bytes), bytes, numbers);
}
Numbers value_of(EncodedCompletion& task) {
  task.wait(std::nullopt);
  const auto bytes = task.value_bytes();
  retinue::Reader reader(bytes.data(), bytes.size());
  return read_payload<Numbers>(reader);
}
Ref<EncodedCompletion> submit(Backend& backend, EntryRef entry, const Numbers& numbers,
                              const retinue::TaskOptions& options = {}) {
  StagedPayload payload;
  stage(payload, numbers);
  return backend.submit(entry, payload, options);
}
Numbers numbers_up_to(std::size_t n) {
  Numbers numbers(n);
  std::iota(numbers.begin(), numbers.end(), std::uint64_t{1});
  return numbers;
}

class EachBackend : public testing::TestWithParam<const char*> {
 protected:
  EachBackend() : name_(GetParam()) {
    if (name_ == "processes") backend_ = processes_.emplace(2).backend();
    else if (name_ == "threads") backend_ = threads_.emplace(2).backend();
    else backend_ = SerialExecutor().backend();
  }
  std::string name_;
  std::optional<ProcessPool> processes_;
  std::optional<ThreadPool> threads_;
  Ref<Backend> backend_;
};
INSTANTIATE_TEST_SUITE_P(Of, EachBackend, testing::Values("processes", "threads", "serial"),
                         [](const auto& of) { return std::string(of.param); });

TEST_P(EachBackend, runs_an_entry_on_small_and_large_arguments) {
  for (const std::size_t n : {std::size_t{0}, std::size_t{3}, std::size_t{27}, std::size_t{28}, std::size_t{50'000}}) {
    const Numbers numbers = numbers_up_to(n);
    const auto task = submit(*backend_, named<&doubled>(), numbers);
    EXPECT_EQ(value_of(*task), doubled(numbers)) << n;
    EXPECT_EQ(value_of(*task), doubled(numbers)) << "again, " << n;
    EXPECT_TRUE(task->done());
    EXPECT_FALSE(task->running());
    EXPECT_FALSE(task->cancelled());
  }
}

TEST_P(EachBackend, gives_the_block_of_a_large_value_away_once) {
  const auto small = submit(*backend_, named<&doubled>(), numbers_up_to(3));
  small->wait(std::nullopt);
  EXPECT_EQ(small->take_block().data, nullptr);
  EXPECT_EQ(value_of(*small).size(), 3U);

  const auto large = submit(*backend_, named<&doubled>(), numbers_up_to(50'000));
  large->wait(std::nullopt);
  const auto bytes = large->value_bytes();
  const SharedMemory block = large->take_block();
  ASSERT_EQ(block.data, bytes.data());
  EXPECT_THROW((void)large->take_block(), retinue::Error);
  retinue::Reader reader(static_cast<const std::byte*>(block.data), bytes.size());
  EXPECT_EQ(read_payload<Numbers>(reader), doubled(numbers_up_to(50'000)));
  free_shared(block);
}

TEST_P(EachBackend, throws_what_the_entry_threw) {
  const auto task = submit(*backend_, named<&refuse>(), numbers_up_to(2));
  task->wait(std::nullopt);
  for (int again = 0; again < 2; ++again) {
    const auto e = thrown_by<std::domain_error>([&] { (void)task->value_bytes(); });
    ASSERT_TRUE(e);
    EXPECT_STREQ(e->what(), "refused 2");
    EXPECT_THROW((void)task->take_block(), std::domain_error);
  }
  StagedPayload none;
  const auto late = backend_->submit(name_code(reinterpret_cast<const void*>(&fail_late)), none, {});
  late->wait(std::nullopt);
  EXPECT_THROW((void)late->value_bytes(), std::domain_error);
}

TEST_P(EachBackend, submits_a_batch_in_its_order) {
  std::vector<StagedPayload> payloads(300);
  std::vector<EncodedCall> calls;
  for (std::size_t i = 0; i < payloads.size(); ++i) {
    stage(payloads[i], numbers_up_to(i));
    calls.push_back({named<&doubled>(), &payloads[i]});
  }
  std::vector<Ref<EncodedCompletion>> submitted;
  backend_->submit_many(calls, {}, submitted);
  ASSERT_EQ(submitted.size(), calls.size());
  for (std::size_t i = 0; i < submitted.size(); ++i) EXPECT_EQ(value_of(*submitted[i]), doubled(numbers_up_to(i)));
  const BackendStats stats = backend_->statistics();
  EXPECT_TRUE(eventually([&] { return backend_->statistics().finished >= 300; })) << stats.finished;
  EXPECT_EQ(backend_->statistics().waiting, 0U);
  EXPECT_EQ(stats.workers, backend_->workers());
}

TEST_P(EachBackend, calls_back_at_the_end) {
  std::atomic<int> called{0};
  const auto task = submit(*backend_, named<&doubled>(), numbers_up_to(3));
  task->on_done([&called] { ++called; });
  EXPECT_TRUE(eventually([&] { return called == 1; }));
}

TEST_P(EachBackend, does_not_run_what_is_too_late) {
  const auto task = submit(*backend_, named<&doubled>(), numbers_up_to(50'000), {.timeout = -1ns});
  task->wait(std::nullopt);
  EXPECT_THROW((void)task->value_bytes(), retinue::TaskTimeout);
}

TEST_P(EachBackend, runs_functions_where_tasks_run_in_this_process) {
  int seen = 0;
  if (!backend_->is_local()) {
    EXPECT_THROW((void)backend_->submit_function([&seen] { seen = 1; }, {}), retinue::Error);
    return;
  }
  const auto task = backend_->submit_function([&seen] { seen = 1; }, {});
  task->wait(std::nullopt);
  EXPECT_TRUE(task->value_bytes().empty());
  EXPECT_EQ(seen, 1);
  const auto failed = backend_->submit_function([] { throw std::domain_error("no"); }, {});
  failed->wait(std::nullopt);
  EXPECT_THROW((void)failed->value_bytes(), std::domain_error);
}

TEST_P(EachBackend, refuses_work_once_its_executor_has_ended) {
  if (processes_) processes_->shutdown();
  if (threads_) threads_->shutdown();
  if (name_ == "serial") {  // which has no end
    EXPECT_EQ(value_of(*submit(*backend_, named<&doubled>(), {1})), Numbers{2});
    return;
  }
  EXPECT_THROW((void)submit(*backend_, named<&doubled>(), numbers_up_to(3)), retinue::PoolClosed);
  EXPECT_THROW((void)submit(*backend_, named<&doubled>(), numbers_up_to(50'000)), retinue::PoolClosed);
  StagedPayload payload;
  stage(payload, numbers_up_to(3));
  const EncodedCall call{named<&doubled>(), &payload};
  std::vector<Ref<EncodedCompletion>> submitted;
  EXPECT_THROW(backend_->submit_many({&call, 1}, {}, submitted), retinue::PoolClosed);
  EXPECT_TRUE(submitted.empty());
}

TEST_P(EachBackend, may_outlive_its_executor) {
  const auto task = submit(*backend_, named<&doubled>(), numbers_up_to(50'000));
  processes_.reset();
  threads_.reset();
  EXPECT_EQ(value_of(*task), doubled(numbers_up_to(50'000)));
  EXPECT_GE(backend_->workers(), 1U);
}

TEST(Backend, cancels_a_batch) {
  HeldPool held(1);
  const auto backend = held.pool.backend();
  std::vector<Ref<EncodedCompletion>> tasks;
  std::vector<Completion*> all{held.held[0].completion(), nullptr};
  for (std::size_t i = 0; i < 5; ++i) {
    tasks.push_back(submit(*backend, named<&doubled>(), numbers_up_to(i)));
    all.push_back(tasks.back().get());
  }
  EXPECT_EQ(backend->cancel(all, false), 5U);
  EXPECT_EQ(backend->statistics().cancelled, 5U);
  EXPECT_THROW((void)value_of(*tasks[0]), retinue::Cancelled);
  held.open();
}

TEST(Backend, frees_what_cancelled_thread_tasks_were_given) {
  const auto before = retinue::shared_memory_usage().bytes_in_use;
  ThreadPool threads(1);
  const auto backend = threads.backend();
  const auto busy = submit(*backend, named<&wait_at_gate>(), {});
  EXPECT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  EXPECT_TRUE(busy->running());
  auto task = submit(*backend, named<&doubled>(), numbers_up_to(50'000));
  EXPECT_GT(retinue::shared_memory_usage().bytes_in_use, before);
  EXPECT_TRUE(task->cancel(false));
  EXPECT_TRUE(task->cancelled());
  task = {};
  board().gate.store(1);
  EXPECT_TRUE(value_of(*busy).empty());
  EXPECT_TRUE(eventually([&] { return retinue::shared_memory_usage().bytes_in_use == before; }));
}

TEST(Backend, notifies_subscribers_of_deaths) {
  ProcessPool pool(1);
  const auto backend = pool.backend();
  std::mutex mutex;
  std::vector<WorkerDeath> seen;
  const auto note = [&](const WorkerDeath& death) {
    const std::lock_guard lock(mutex);
    seen.push_back(death);
    throw std::domain_error("is dropped");
  };
  const auto count = [&] {
    const std::lock_guard lock(mutex);
    return seen.size();
  };
  auto first = backend->subscribe(note);
  const auto second = backend->subscribe(note);
  const pid_t pid = pool.worker_pids().at(0);
  const auto task = submit(*backend, named<&die>(), {7});
  EXPECT_THROW((void)value_of(*task), retinue::WorkerDied);
  ASSERT_TRUE(eventually([&] { return count() == 2; }));
  for (const WorkerDeath& death : seen) {
    EXPECT_EQ(death.pid, pid);
    EXPECT_EQ(death.exit_code, 7);
    EXPECT_EQ(death.signal, 0);
  }

  first.reset();  // no longer
  auto killed = submit(*backend, named<&wait_at_gate>(), {});
  ASSERT_TRUE(eventually([&] { return killed->running(); }));
  EXPECT_TRUE(killed->cancel(true));
  ASSERT_TRUE(eventually([&] { return count() == 3; }));
  EXPECT_EQ(seen.back().signal, SIGKILL);
  EXPECT_EQ(seen.back().exit_code, -1);
}

TEST(Backend, does_not_notify_of_workers_that_leave_as_they_should) {
  retinue::ProcessPoolOptions options;
  options.workers = 1;
  options.max_tasks_per_worker = 1;
  ProcessPool pool(options);
  const auto backend = pool.backend();
  std::atomic<int> called{0};
  std::atomic<int> exit_code{0};
  const auto subscription = backend->subscribe([&](const WorkerDeath& death) {
    exit_code = death.exit_code;
    ++called;
  });
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(value_of(*submit(*backend, named<&doubled>(), {1})), Numbers{2});
  EXPECT_THROW((void)value_of(*submit(*backend, named<&die>(), {7})), retinue::WorkerDied);
  ASSERT_TRUE(eventually([&] { return called != 0; })) << "deaths are reported in their order";
  pool.shutdown();
  EXPECT_EQ(called, 1);
  EXPECT_EQ(exit_code, 7);
}

TEST(Backend, lets_a_subscriber_subscribe_and_leave) {
  ProcessPool pool(1);
  const auto backend = pool.backend();
  std::atomic<int> inner{0}, outer{0};
  Subscription nested, own;
  own = backend->subscribe([&](const WorkerDeath&) {
    ++outer;
    nested = backend->subscribe([&](const WorkerDeath&) { ++inner; });
    own.reset();
  });
  EXPECT_THROW((void)value_of(*submit(*backend, named<&die>(), {1})), retinue::WorkerDied);
  ASSERT_TRUE(eventually([&] { return outer == 1; }));
  EXPECT_THROW((void)value_of(*submit(*backend, named<&die>(), {1})), retinue::WorkerDied);
  ASSERT_TRUE(eventually([&] { return inner == 1; })) << "it is notified of the next death";
  EXPECT_EQ(outer, 1);
  pool.shutdown();  // before what the subscribers refer to goes
}

TEST(Backend, has_no_deaths_among_threads) {
  int called = 0;
  ThreadPool threads(1);
  const auto subscription = threads.backend()->subscribe([&called](const WorkerDeath&) { ++called; });
  EXPECT_TRUE(subscription);
  EXPECT_EQ(threads.submit(square, 3).get(), 9);
  EXPECT_EQ(called, 0);
}

}  // namespace backend_test
