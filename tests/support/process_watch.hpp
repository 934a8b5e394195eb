// What every test that starts processes demands: it ends by itself, and leaves nothing behind.
//
// Including this header is enough: before each test it counts processes, zombies, descriptors, threads and
// shared mappings, after it they must be as few; a test that does not end is named on stderr and aborted
// (RETINUE_TEST_HANG=wait keeps it for a debugger instead).
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <memory>

#include "board.hpp"
#include "child.hpp"
#include "holdings.hpp"
#include "patience.hpp"
#include "processes.hpp"

namespace retinue_test {

/// Has each test of this program watched, and makes a pool before the first; true.
bool watch_processes();
inline const bool watching = watch_processes();

/// The exception of type E that `f` throws; a failure of the test (and a null pointer) if it throws none or another.
template <class E, class F>
std::unique_ptr<E> thrown_by(F&& f) {
  try {
    f();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& e) {
    return std::make_unique<E>(e);
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another exception was thrown: " << e.what();
  }
  return nullptr;
}

}  // namespace retinue_test
