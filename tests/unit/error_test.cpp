// What the exceptions say to the person who reads them.
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <type_traits>

#include <retinue/error.hpp>

namespace error_test {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(RemoteError, says_type_message_pid_task_and_stack) {
  const retinue::RemoteError e("geo::BadCoordinate", "north of the pole", 1234, 7, "  at locate(int) (geo.cpp:12)\n");
  const std::string text = e.what();
  EXPECT_EQ(text,
            "task 7 threw geo::BadCoordinate in its worker (pid 1234): north of the pole\n"
            "  at locate(int) (geo.cpp:12)");
  EXPECT_EQ(e.type_name(), "geo::BadCoordinate");
  EXPECT_EQ(e.message(), "north of the pole");
  EXPECT_EQ(e.worker_pid(), 1234);
  EXPECT_EQ(e.task_index(), 7U);
  EXPECT_TRUE(contains(e.stack(), "locate"));
}

TEST(RemoteError, without_message_and_stack_has_no_loose_ends) {
  const retinue::RemoteError e("int", "", 5, 0, "");
  EXPECT_STREQ(e.what(), "task 0 threw int in its worker (pid 5)");
}

TEST(WorkerDied, names_the_signal_the_remedy_and_the_stack) {
  const retinue::WorkerDied e(SIGSEGV, 99, 1234, 7, "  at crash(int) (a.cpp:3)");
  EXPECT_STREQ(e.what(),
               "task 7: its worker (pid 1234) died of SIGSEGV (segmentation fault); give TaskOptions::retries to run "
               "such tasks again\n  at crash(int) (a.cpp:3)");
  EXPECT_EQ(e.signal(), SIGSEGV);
  EXPECT_EQ(e.exit_code(), -1);
}

TEST(WorkerDied, names_the_exit_code) {
  const retinue::WorkerDied e(0, 3, 1234, 7, "");
  EXPECT_TRUE(contains(e.what(), "exited with code 3 ")) << e.what();
  EXPECT_EQ(e.signal(), 0);
  EXPECT_EQ(e.exit_code(), 3);
}

TEST(WorkerDied, of_sigkill_points_to_memory) {
  const retinue::WorkerDied e(SIGKILL, -1, 1, 0, "");
  EXPECT_TRUE(contains(e.what(), "SIGKILL (killed), perhaps for want of memory")) << e.what();
}

TEST(WorkerDied, of_a_signal_without_a_name_gives_its_number) {
  EXPECT_TRUE(contains(retinue::WorkerDied(SIGRTMIN + 3, -1, 1, 0, "").what(), "signal 37"));
  EXPECT_TRUE(contains(retinue::WorkerDied(12345, -1, 1, 0, "").what(), "signal 12345"));
}

TEST(ResourceExhausted, appends_the_text_of_the_errno) {
  const retinue::ResourceExhausted e("memfd_create(\"region\")", EMFILE);
  EXPECT_STREQ(e.what(), "memfd_create(\"region\"): Too many open files (errno 24)");
  EXPECT_EQ(e.error_number(), EMFILE);
  EXPECT_STREQ(retinue::ResourceExhausted("the region is full: 64 GiB", 0).what(), "the region is full: 64 GiB");
}

TEST(Error, all_errors_can_be_copied_while_one_is_in_flight) {
  static_assert(std::is_nothrow_copy_constructible_v<retinue::RemoteError>);
  static_assert(std::is_nothrow_copy_constructible_v<retinue::WorkerDied>);
  static_assert(std::is_nothrow_copy_constructible_v<retinue::ResourceExhausted>);
  static_assert(std::is_base_of_v<retinue::Error, retinue::CodecError>);
}

}  // namespace error_test
