// Taking a stack: the worker's half. Everything here may run in a signal handler.
#include "stack.hpp"

#include <atomic>

#include "stack_walk.hpp"

namespace retinue::detail {
namespace {

struct Walk {
  StackRecord* into;
  std::uintptr_t start;  // skip up to the frame that was interrupted here; 0: start at once
  unsigned seen;
};

// Beyond this many frames without the one to start at, the chain is nonsense.
constexpr unsigned kMaxHandlerFrames = 64;

_Unwind_Reason_Code visit(_Unwind_Context* context, void* argument) noexcept {
  Walk& walk = *static_cast<Walk*>(argument);
  int before_instruction = 0;
  const std::uintptr_t ip = _Unwind_GetIPInfo(context, &before_instruction);
  ++walk.seen;
  if (walk.start != 0) {
    if (ip != walk.start || before_instruction == 0) {
      return walk.seen < kMaxHandlerFrames ? _URC_NO_REASON : _URC_NORMAL_STOP;
    }
    walk.start = 0;
  } else if (walk.seen == 1) {
    return _URC_NO_REASON;  // walk_stack itself
  }
  if (ip == 0) return _URC_NORMAL_STOP;
  StackRecord& record = *walk.into;
  record.frames[record.count] = before_instruction != 0 ? ip : ip - 1;
  std::atomic_signal_fence(std::memory_order_release);
  ++record.count;
  return record.count < kStackFrames ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

}  // namespace

__attribute__((noinline)) void walk_stack(StackRecord& into, std::uintptr_t interrupted_at) noexcept {
  into.count = 0;
  Walk walk{&into, interrupted_at, 0};
  _Unwind_Backtrace(visit, &walk);
  if (into.count == 0 && interrupted_at != 0) {
    into.frames[0] = interrupted_at;
    into.count = 1;
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);  // no tail call: this frame must be there to be skipped
}

void warm_up_stack_capture() noexcept {
  StackRecord record;
  capture_stack(record);
}

__attribute__((noinline)) void capture_stack(StackRecord& into) noexcept {
  walk_stack(into, 0);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace retinue::detail
