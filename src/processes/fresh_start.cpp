#include "fresh_start.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/prctl.h>
#include <type_traits>
#include <unistd.h>

#include <retinue/detail/tasks/owner_doorbell.hpp>
#include <retinue/error.hpp>

#include "system/calls.hpp"
#include "system/inherited_descriptors.hpp"
#include "system/signals.hpp"
#include "fork_server.hpp"

namespace retinue::detail {
namespace {

/// The plan as numbers: descriptors keep theirs over exec, and shared memory its address.
struct Handover {
  std::uint64_t size = sizeof(Handover);
  std::uint64_t region_base, region_reach, doorbell, memory;
  std::uint64_t slots, max_tasks, max_memory;
  std::int64_t longest_spin;
  std::int32_t region_fd, doorbell_fd;
  std::int32_t owner;
  std::uint32_t workers, cpus, break_on_death;
  Confinement confinement;
  sigset_t signal_mask;
};
static_assert(std::is_trivially_copyable_v<Handover>);

constexpr char kDigits[] = "0123456789abcdef";

std::string to_text(const Handover& handover) {
  unsigned char bytes[sizeof handover];
  std::memcpy(bytes, &handover, sizeof bytes);
  std::string text;
  for (const unsigned char byte : bytes) text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

Handover from_text(std::string_view text) {
  unsigned char bytes[sizeof(Handover)] = {};
  Handover handover{};
  bool whole = text.size() == 2 * sizeof bytes;
  for (std::size_t i = 0; whole && i < sizeof bytes; ++i)
    whole = std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, bytes[i], 16).ptr == text.data() + 2 * i + 2;
  if (whole) std::memcpy(&handover, bytes, sizeof bytes);
  if (!whole || handover.size != sizeof handover)
    throw Error("this program was started as the fork server of another build of it");
  return handover;
}

void keep_over_exec(int fd) noexcept { sys::fcntl(fd, F_SETFD, 0); }
int close_on_exec(int fd) noexcept {
  sys::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fd;
}

}  // namespace

FreshStart::FreshStart(const PoolPlan& plan, const FreshProgram& program)
    : words_(program.arguments), descriptors_(program.descriptors), owner_(plan.owner) {
  Handover handover{};
  handover.size = sizeof handover;
  handover.region_base = reinterpret_cast<std::uintptr_t>(plan.region->base());
  handover.region_reach = plan.region->reach();
  handover.doorbell = reinterpret_cast<std::uintptr_t>(plan.owner_doorbell);
  handover.memory = reinterpret_cast<std::uintptr_t>(plan.memory.control);
  handover.slots = plan.memory.slot_mask + 1;
  handover.max_tasks = plan.max_tasks;
  handover.max_memory = plan.max_memory;
  handover.longest_spin = plan.longest_spin.count();
  handover.region_fd = plan.region->memfd();
  handover.doorbell_fd = plan.owner_doorbell->memfd();
  if (handover.region_fd < 0 || handover.doorbell_fd < 0)
    throw Error(
        "this program has closed the descriptors of its shared memory, which a worker that is started anew would "
        "inherit; "
        "make such pools before, or close only descriptors that are the program's own");
  handover.owner = plan.owner;
  handover.workers = plan.memory.workers;
  handover.cpus = plan.cpus;
  handover.break_on_death = plan.break_on_death ? 1 : 0;
  handover.confinement = plan.confinement;
  handover.signal_mask = plan.signal_mask;
  const std::string text = to_text(handover);
  if (program.plan_file < 0) words_.push_back(text);
  else if (sys::pwrite(program.plan_file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    throw_call_failed("pwrite", errno, "the plan of a pool");
  for (std::string& word : words_) arguments_.push_back(word.data());
  arguments_.push_back(nullptr);
  for (const int fd : {handover.region_fd, handover.doorbell_fd}) descriptors_.push_back(fd);
  if (!plan.kept_descriptors) return;
  kept_ = plan.kept_descriptors;
  kept_->insert(kept_->end(), descriptors_.begin(), descriptors_.end());
  std::ranges::sort(*kept_);
}

void FreshStart::exec() const noexcept {
  if (kept_ && close_descriptors_but(*kept_) != 0) _exit(127);
  for (const int fd : descriptors_) keep_over_exec(fd);
  sys::prctl(PR_SET_PDEATHSIG, SIGKILL);  // while it imports what it needs, it does not watch its owner
  if (getppid() != owner_) _exit(0);
  sys::execv(arguments_[0], arguments_.data());
  _exit(127);
}

namespace {
PoolPlan* attached = nullptr;  // kept to the end of the process
}

void attach_to_owner(const std::string& plan_text) {
  const Handover handover = from_text(plan_text);
  auto* plan = new PoolPlan();
  plan->region = &Region::attach(close_on_exec(handover.region_fd), handover.region_base, handover.region_reach);
  plan->owner_doorbell = &OwnerDoorbell::attach(close_on_exec(handover.doorbell_fd), handover.doorbell);
  plan->memory = PoolMemory::at(reinterpret_cast<std::byte*>(handover.memory), handover.workers, handover.slots);
  plan->max_tasks = handover.max_tasks;
  plan->max_memory = handover.max_memory;
  plan->break_on_death = handover.break_on_death != 0;
  plan->longest_spin = std::chrono::nanoseconds(handover.longest_spin);
  plan->cpus = handover.cpus;
  plan->owner = handover.owner;
  plan->confinement = handover.confinement;
  plan->signal_mask = handover.signal_mask;
  attached = plan;
}

void serve_owner(const ProcessHooks& hooks, std::function<void()> initializer) {
  if (attached == nullptr) throw Error("serve_owner was called before attach_to_owner");
  attached->initializer = std::move(initializer);
  attached->hooks = &hooks;
  const sigset_t all = signals_to_block();
  sys::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  run_fork_server(*attached);
}

}  // namespace retinue::detail
