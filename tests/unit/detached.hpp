// A coroutine for tests.
#pragma once

#include <coroutine>
#include <exception>

namespace retinue_test {

/// Runs until its first co_await in the call, and from there wherever it is resumed; nobody waits for its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

}  // namespace retinue_test
