// The messages of the exceptions in retinue/error.hpp. Whoever reads one knows which task it was, in
// which worker, and what can be done; the stack comes last because it is long.
#include <retinue/error.hpp>

#include <cctype>
#include <cstring>
#include <system_error>

namespace retinue {
namespace {

// "SIGSEGV (segmentation fault)"; a real-time signal has only its number.
std::string signal_text(int signal) {
  const char* const name = ::sigabbrev_np(signal);
  if (name == nullptr) return "signal " + std::to_string(signal);
  std::string text = std::string("SIG") + name;
  if (const char* const description = ::sigdescr_np(signal)) {
    std::string lower = description;
    if (lower.size() > 1 && !std::isupper(static_cast<unsigned char>(lower[1]))) {
      lower[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(lower[0])));
    }
    text += " (" + lower + ")";
  }
  return text;
}

void append_stack(std::string& text, const std::string& stack) {
  if (stack.empty()) return;
  text += '\n';
  text += stack;
  while (text.back() == '\n') text.pop_back();
}

std::string task_text(std::uint64_t task_index) { return "task " + std::to_string(task_index); }

std::string pid_text(pid_t pid) { return "(pid " + std::to_string(pid) + ")"; }

std::string remote_text(const std::string& type_name, const std::string& message, pid_t worker_pid,
                        std::uint64_t task_index, const std::string& stack) {
  std::string text = task_text(task_index) + " threw " + type_name + " in its worker " + pid_text(worker_pid);
  if (!message.empty()) text += ": " + message;
  append_stack(text, stack);
  return text;
}

std::string death_text(int signal, int exit_code, pid_t worker_pid, std::uint64_t task_index,
                       const std::string& stack) {
  std::string text = task_text(task_index) + ": its worker " + pid_text(worker_pid);
  if (signal != 0) {
    text += " died of " + signal_text(signal);
    if (signal == SIGKILL) text += ", perhaps for want of memory (see the kernel log)";
    if (signal == SIGXCPU) text += ": the task used more CPU time than it may (WorkerLimits::cpu_time, or ulimit -t)";
  } else {
    text += " exited with code " + std::to_string(exit_code) + " instead of returning from the task";
  }
  text += "; give TaskOptions::retries to run such tasks again";
  append_stack(text, stack);
  return text;
}

std::string exhausted_text(const std::string& what, int error_number) {
  if (error_number == 0) return what;
  return what + ": " + std::generic_category().message(error_number) + " (errno " + std::to_string(error_number) + ")";
}

}  // namespace

RemoteError::RemoteError(std::string type_name, std::string message, pid_t worker_pid, std::uint64_t task_index,
                         std::string stack)
    : Error(remote_text(type_name, message, worker_pid, task_index, stack)),
      data_(std::make_shared<const Data>(
          Data{std::move(type_name), std::move(message), std::move(stack), worker_pid, task_index})) {}

WorkerDied::WorkerDied(int signal, int exit_code, pid_t worker_pid, std::uint64_t task_index, std::string stack)
    : Error(death_text(signal, exit_code, worker_pid, task_index, stack)),
      data_(std::make_shared<const Data>(
          Data{signal, signal != 0 ? -1 : exit_code, worker_pid, task_index, std::move(stack)})) {}

ResourceExhausted::ResourceExhausted(const std::string& what, int error_number)
    : Error(exhausted_text(what, error_number)), error_number_(error_number) {}

}  // namespace retinue
