// Arguments and results of megabytes, through cold memory and warm.
#include "support/process_watch.hpp"

#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <retinue/retinue.hpp>

namespace process_pool_large_data_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::result_view;
using retinue::ResultView;

constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Parcel {
  std::string name;
  std::vector<std::uint32_t> numbers;
  std::vector<std::string> words;
  std::vector<double> more;
  bool operator==(const Parcel&) const = default;
};

Parcel parcel(std::size_t n) {
  Parcel p{std::string(n % 5000, 'p'), std::vector<std::uint32_t>(n), {}, std::vector<double>(n / 3)};
  std::iota(p.numbers.begin(), p.numbers.end(), static_cast<std::uint32_t>(n));
  std::iota(p.more.begin(), p.more.end(), 0.5);
  for (std::size_t i = 0; i < 50; ++i) p.words.emplace_back(i * n / 1000, static_cast<char>('a' + i % 26));
  return p;
}
Parcel returned(const Parcel& p) { return p; }

TEST(LargeData, arrives_whole_through_cold_memory_and_warm) {
  ProcessPool pool(2);
  for (int again = 0; again < 3; ++again) {
    for (const std::size_t n : {100'000u, 131'000u, 262'144u, 1'000'003u, 3'000'000u}) {
      const Parcel sent = parcel(n);
      EXPECT_TRUE(pool.submit(returned, sent).get() == sent) << n;
    }
    if (again == 1) retinue::trim_shared_memory();
  }
}

TEST(LargeData, returns_from_as_many_workers_at_once_as_there_are) {
  ProcessPool pool(4);
  std::vector<retinue::Future<std::vector<std::size_t>>> futures;
  for (std::size_t i = 0; i < 8; ++i)
    futures.push_back(pool.submit(
        [](std::size_t start) {
          std::vector<std::size_t> numbers(kMiB);
          std::iota(numbers.begin(), numbers.end(), start);
          return numbers;
        },
        i));
  for (std::size_t i = 0; i < 8; ++i) {
    const auto numbers = futures[i].get();
    ASSERT_EQ(numbers.size(), kMiB);
    EXPECT_EQ(numbers.front(), i);
    EXPECT_EQ(numbers.back(), i + kMiB - 1);
  }
}

/// Writes its head and a megabyte, and then refuses.
struct Refusing {
  std::vector<char> bytes = std::vector<char>(3 * kMiB);
  bool refuse = true;
};

}  // namespace process_pool_large_data_test

template <>
struct retinue::Codec<process_pool_large_data_test::Refusing> {
  using Refusing = process_pool_large_data_test::Refusing;
  template <class W>
  static void write(W& w, const Refusing& r) {
    w(r.bytes);
    if constexpr (std::is_same_v<W, retinue::Writer>) {
      if (r.refuse) throw std::domain_error("refused");
    }
    w(r.bytes);
  }
  static Refusing read(retinue::Reader& r) {
    Refusing read;
    read.bytes = r.value<std::vector<char>>();
    read.bytes = r.value<std::vector<char>>();
    read.refuse = false;
    return read;
  }
};

namespace process_pool_large_data_test {

TEST(LargeData, that_refuses_to_be_written_half_way_leaves_nothing) {
  ProcessPool pool(1);
  const auto size = [](const Refusing& r) { return r.bytes.size(); };
  const auto make = [](bool refuse) {
    Refusing made;
    made.refuse = refuse;
    return made;
  };
  const auto before = retinue::shared_memory_usage();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(pool.submit(size, Refusing{}), std::domain_error);
    EXPECT_THROW(pool.submit(make, true).get(), std::domain_error);
  }
  EXPECT_EQ(retinue::shared_memory_usage().bytes_in_use, before.bytes_in_use);
  EXPECT_EQ(retinue::shared_memory_usage().bytes_warm, before.bytes_warm);
  EXPECT_LT(retinue::shared_memory_usage().bytes_reserved, before.bytes_reserved + kMiB);
  Refusing whole;
  whole.refuse = false;
  EXPECT_EQ(pool.submit(size, whole).get(), 3 * kMiB);
  EXPECT_EQ(pool.submit(make, false).get().bytes.size(), 3 * kMiB);
}

// result_view --------------------------------------------------------------------------------------

std::vector<double> counted(std::size_t n) {
  std::vector<double> numbers(n);
  std::iota(numbers.begin(), numbers.end(), 0.0);
  return numbers;
}
std::vector<double> refused(std::size_t) { throw std::domain_error("none"); }

TEST(ResultView, reads_where_the_worker_wrote_and_outlives_future_and_pool) {
  ResultView<double> kept;
  {
    ProcessPool pool(1);
    auto future = pool.submit(counted, kMiB);
    const ResultView<double> view = result_view(future);
    EXPECT_EQ(view.data(), result_view(future).data()) << "the same memory each time";
    EXPECT_EQ(future.get(), counted(kMiB)) << "and the value is still there";
    kept = view;
  }
  ASSERT_EQ(kept.size(), kMiB);
  for (std::size_t i = 0; i < kept.size(); ++i) ASSERT_EQ(kept[i], static_cast<double>(i));
  const std::span<const double> span = kept;
  EXPECT_EQ(std::accumulate(span.begin(), span.end(), 0.0), std::accumulate(kept.begin(), kept.end(), 0.0));
}

TEST(ResultView, gives_its_memory_back_with_the_last_copy) {
  ProcessPool pool(1);
  const auto before = retinue::shared_memory_usage().bytes_in_use;
  ResultView<double> view = result_view(pool.submit(counted, kMiB));
  {
    const ResultView<double> copy = view;
    view = {};
    EXPECT_TRUE(view.empty());
    EXPECT_GE(retinue::shared_memory_usage().bytes_in_use, before + 8 * kMiB);
  }
  EXPECT_EQ(retinue::shared_memory_usage().bytes_in_use, before);
}

TEST(ResultView, is_of_small_results_strings_and_other_executors_too) {
  ProcessPool pool(1);
  EXPECT_EQ(result_view(pool.submit(counted, std::size_t{3}))[2], 2.0);
  EXPECT_TRUE(result_view(pool.submit(counted, std::size_t{0})).empty());
  const auto text = result_view(pool.submit([](std::size_t n) { return std::string(n, 'x'); }, 2 * kMiB));
  EXPECT_EQ(text.size(), 2 * kMiB);
  EXPECT_EQ(text[kMiB], 'x');
  retinue::ThreadPool threads(1);
  EXPECT_EQ(result_view(threads.submit(counted, std::size_t{1000}))[999], 999.0);
  retinue::SerialExecutor serial;
  EXPECT_EQ(result_view(serial.submit(counted, std::size_t{1000})).size(), 1000u);
}

TEST(ResultView, throws_what_the_task_did_and_of_an_empty_future) {
  ProcessPool pool(1);
  EXPECT_THROW(result_view(pool.submit(refused, std::size_t{1})), std::domain_error);
  EXPECT_THROW(result_view(retinue::Future<std::vector<double>>()), retinue::Error);
}

}  // namespace process_pool_large_data_test
