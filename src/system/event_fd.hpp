// A bell that poll(2) hears.
#pragma once

#include "fd.hpp"

namespace retinue::detail {

/// An eventfd: nonblocking, close-on-exec. Any thread may ring and drain; a forked child shares the bell.
/// Rings run together: many rings before a drain are one.
class EventFd {
 public:
  /// Throws ResourceExhausted (EMFILE, ENFILE, ENOMEM).
  EventFd();
  /// One that was made by another process and inherited.
  explicit EventFd(UniqueFd made) noexcept : fd_(std::move(made)) {}

  /// For poll and epoll (readable while rung).
  int fd() const noexcept { return fd_.get(); }
  /// Async-signal-safe; never blocks; keeps errno.
  void ring() const noexcept;
  /// Takes all rings so far; true if there was one. Never blocks; keeps errno.
  bool drain() const noexcept;

 private:
  UniqueFd fd_;
};

}  // namespace retinue::detail
