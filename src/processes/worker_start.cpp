#include "worker.hpp"

#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <sys/prctl.h>
#include <unistd.h>
#include <utility>

#include <retinue/error.hpp>

#include "codec/exceptions.hpp"
#include "diagnostics/stack.hpp"
#include "memory/worker_heap.hpp"
#include "system/address_limit.hpp"
#include "system/calls.hpp"
#include "system/fault.hpp"
#include "system/fork_watch.hpp"
#include "worker_loop.hpp"
#include "worker_failure.hpp"

namespace retinue::detail {
namespace {

void set_signals(const PoolPlan& plan) {
  // What a terminal sends to the whole foreground group is the owner's to handle: Ctrl-C, Ctrl-\ and the hang-up. A
  // handler that does nothing, not SIG_IGN, so that programs a task starts get the default back; but what the owner
  // ignores (nohup, a shell's `&`), they ignore too. The dispositions found here are the owner's.
  struct sigaction nothing{};
  nothing.sa_handler = [](int) {};
  nothing.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGQUIT, SIGHUP}) {
    struct sigaction owners{};
    sys::sigaction(signal, nullptr, &owners);
    if (owners.sa_handler != SIG_IGN) sys::sigaction(signal, &nothing, nullptr);
  }
  // A handler of the owner's must not keep `kill` from ending a worker.
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  sys::sigaction(SIGTERM, &usual, nullptr);
  sys::pthread_sigmask(SIG_SETMASK, &plan.signal_mask, nullptr);
}

void flush_output() noexcept {
  try {
    std::cout.flush();
    std::cerr.flush();
  } catch (...) {
    // A stream that throws on failure: nothing to be done about it here.
  }
  std::fflush(stdout);
  std::fflush(stderr);
}

// What runs before and after the tasks may fork, too, and let its child return.
void end_if_forked() noexcept {
  if (worker_heap() == nullptr) _exit(0);
}

// What an initializer throws then is mostly that it had no memory, which would not say why.
bool report_address_limit(WorkerRecord& record, const AddressLimit& limit) noexcept {
  try {
    if (limit.is_out_of_reach()) limit.refuse();
    return false;
  } catch (...) {
    report_failure(record, WorkerRecord::kLimitsRefused);
    return true;
  }
}

// The initializer, then the limits, which it need not keep. Throws ResourceExhausted for a shortage that may pass.
bool make_ready(const PoolPlan& plan, WorkerRecord& record) {
  const AddressLimit address_limit(Region::reserved_addresses());
  try {
    if (plan.initializer) plan.initializer();
    end_if_forked();
  } catch (...) {
    end_if_forked();
    if (!report_address_limit(record, address_limit)) report_failure(record, WorkerRecord::kInitializerThrew);
    return false;
  }
  try {
    address_limit.leave_room();
    confine(plan.confinement);
  } catch (const ResourceExhausted&) {
    throw;
  } catch (...) {
    report_failure(record, WorkerRecord::kLimitsRefused);
    return false;
  }
  return true;
}

// Dies with the fork server, which dies with the owner.
void die_with(pid_t parent) {
  if (sys::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) throw_call_failed("prctl", errno, "PR_SET_PDEATHSIG");
  if (getppid() != parent) _exit(0);
}

/// A worker's way from its beginning to its end.
struct Serving {
  const PoolPlan& plan;
  WorkerRecord& record;
  unsigned index;
  pid_t parent;
  bool begun = false;
  int exit_code = kExitRetired;
};

void serve(void* it) noexcept {
  auto& [plan, record, index, parent, begun, exit_code] = *static_cast<Serving*>(it);
  if (std::exchange(begun, true)) return;
  end_if_forked();
  try {
    run_tasks(plan, index, parent, [&] {
      if (!make_ready(plan, record)) {
        exit_code = kExitInitializerFailed;
        return false;
      }
      die_with(parent);  // a change of user clears that
      record.ready.store(WorkerRecord::kTakesTasks, std::memory_order_release);
      return true;
    });
  } catch (...) {
    report_failure(record, WorkerRecord::kCouldNotBegin);
    _exit(kExitInitializerFailed);
  }
}

const Serving* serving = nullptr;  // kept to the end of the process

}  // namespace

void leave_worker() noexcept {
  end_if_forked();
  flush_output();
  _exit(serving != nullptr ? serving->exit_code : 0);
}

void report_failure(WorkerRecord& record, std::uint32_t ready) noexcept {
  try {
    const std::string bytes = encode_exception(std::current_exception());
    if (WorkerHeap* heap = worker_heap()) {
      const std::uint64_t block = heap->allocate(bytes.size());
      std::memcpy(heap->at(block), bytes.data(), bytes.size());
      record.failure_size.store(bytes.size(), std::memory_order_relaxed);
      record.failure.store(block, std::memory_order_relaxed);
    }
  } catch (...) {
    // Reported without its text.
  }
  record.ready.store(ready, std::memory_order_release);
}

void run_worker(const PoolPlan& plan, unsigned index, pid_t parent) noexcept {
  set_process_role(ProcessRole::worker);
  WorkerRecord& record = plan.memory.worker_records[index];
  set_worker_heap(nullptr);  // that of the worker that made this pool, if one did
  Serving* mine = nullptr;
  try {
    serving = mine = new Serving{plan, record, index, parent};
    if (record.arena_check != check_of(record.arena_offset, record.arena_length))
      throw Error("where this worker's memory lies was overwritten");
    set_worker_heap(new WorkerHeap(*plan.region, {record.arena_offset, record.arena_length}, record.returned));
    die_with(parent);
    plan.region->set_file_holder(parent);
    pthread_setname_np(pthread_self(), kWorkerName);
    set_signals(plan);
    install_crash_handlers(&record.crash_stack, &record.crash_signal, &record.crash_note, plan.hooks->write_crash_note);
    call(plan.hooks->after_fork_in_worker);
  } catch (...) {
    report_failure(record, WorkerRecord::kCouldNotBegin);
    _exit(kExitInitializerFailed);
  }
  call(plan.hooks->run_worker, index, &serve, static_cast<void*>(mine));
  serve(mine);
  leave_worker();
}

}  // namespace retinue::detail
