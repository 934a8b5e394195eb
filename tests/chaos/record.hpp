// How one task ended.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "plan.hpp"

namespace retinue_chaos {

enum class End : std::uint8_t {
  none,     ///< nobody was notified of it
  dropped,  ///< its map was left, or ended, before its turn
  value,
  own,        ///< an exception that came back as itself
  remote,     ///< RemoteError
  died,       ///< WorkerDied
  timed_out,  ///< TaskTimeout
  cancelled,  ///< Cancelled
  closed,     ///< PoolClosed
  exhausted,  ///< ResourceExhausted
  codec,      ///< CodecError
  kCount
};
std::string_view name_of(End end);

/// Written by the one thread that reads the task's result, but for the count of callbacks.
struct Record {
  End end = End::none;
  bool at_submit = false;    ///< the submit threw
  bool twice = false;        ///< its outcome was delivered more than once
  bool cancel_said = false;  ///< what a cancel() returned
  bool cancel_forced = false;
  std::uint64_t digest = 0;  ///< of the value
  pid_t pid = 0;             ///< of the worker that died
  int signal = 0, exit_code = -1;
  std::string type, what;  ///< of the exception
  std::atomic<int> callbacks{0};

  /// What is being thrown, as an end.
  void note(const std::exception_ptr& thrown);
  void note_value(std::uint64_t sum) {
    end = End::value;
    digest = sum;
  }
  std::string describe() const;
};

}  // namespace retinue_chaos
