// Starting a thread, as a call that a test can make fail.
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "fault.hpp"

namespace retinue::detail {

/// A std::thread that runs `body`. Throws std::system_error, as its constructor does.
template <class Body>
std::thread new_thread(Body&& body) {
  if (const int error_number = injected_fault("pthread_create"); error_number != 0)
    throw std::system_error(error_number, std::generic_category());
  return std::thread(std::forward<Body>(body));
}

}  // namespace retinue::detail
