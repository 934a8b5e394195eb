// The reader: a thread that reads the inputs of one map, so that a result is given also while they wait.
//
// It encodes each input as it comes and puts it into `calls_`. If somebody waits in `next`, that one is nudged and
// submits what is there; the GIL makes bursts of it, for the reader goes on until its inputs let others in, or until it
// is far enough ahead. If nobody is in `next`, the reader itself submits what the window has room for.
//
// Nobody waits for the reader: it may be in a generator that never comes back. Who closes the map, or ends its pool, sets
// `stop_`, takes the window, and leaves the inputs to the reader, which releases them when it comes back.
#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "patterns/map.hpp"
#include "patterns/map_busy.hpp"

#include <retinue/error.hpp>

namespace retinue::python {
namespace {

constexpr std::size_t kFewAhead = 16, kMaxAhead = 1000, kMuchAhead = std::size_t{8} << 20;
constexpr std::chrono::milliseconds kTryAgain{5};

// While nobody waits, inputs are submitted many at a time; the first ones as they come, and so are those that come
// slowly.
constexpr std::size_t kAtOnce = 64, kBurst = 256;
constexpr std::chrono::microseconds kBurstTime{200};

// Iterators that readers are reading. With the GIL held.
std::vector<PyObject*>& being_read() {
  static auto* const all = new std::vector<PyObject*>;  // never destroyed: readers may outlive main
  return *all;
}

bool is_being_read(PyObject* iterators) {
  const auto& all = being_read();
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(iterators); ++i)
    if (std::find(all.begin(), all.end(), PyTuple_GET_ITEM(iterators, i)) != all.end()) return true;
  return false;
}

/// Marks these as being read while it lives.
class Claim {
 public:
  explicit Claim(PyObject* iterators) : iterators_(iterators) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(iterators); ++i) being_read().push_back(PyTuple_GET_ITEM(iterators, i));
  }
  ~Claim() {
    auto& all = being_read();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(iterators_); ++i)
      if (const auto at = std::find(all.begin(), all.end(), PyTuple_GET_ITEM(iterators_, i)); at != all.end())
        all.erase(at);
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  PyObject* iterators_;
};

void pause() {
  const WithoutGil without;
  std::this_thread::sleep_for(kTryAgain);
}

}  // namespace

void MapTasks::read_lazily() noexcept {
  has_reader_ = false;
  plan_.reading = Reading::lazily;
}

bool MapTasks::has_room() const noexcept {
  return without_bound_ ||
         (calls_.count() < std::clamp(look_ahead_, kFewAhead, kMaxAhead) && calls_.bytes() + named_bytes_ < kMuchAhead);
}

void MapTasks::wake_reader_for_more() noexcept {
  if (reader_waits_ && calls_.count() <= look_ahead_ / 4) wake_reader();
}

void MapTasks::wake_reader() noexcept {
  if (!reader_waits_) return;
  reader_waits_ = false;  // it is woken once
  room_.fetch_add(1);
  room_.notify_all();
}

void MapTasks::wait_for_room() {
  if (without_bound_ || alone_ || pending_) return pause();
  const int seen = room_.load();
  reader_waits_ = true;
  {
    const WithoutGil without;
    room_.wait(seen);
  }
  reader_waits_ = false;
}

// What is read goes to whoever waits in `next`, or else into the window.
void MapTasks::pass_on() {
  if (stop_ || inputs_ended_) return;
  if (consumer_waits_) {
    if (!consumer_nudged_) window_->nudge();
    consumer_nudged_ = true;
    return;
  }
  if (busy_) return;  // it looks again before it waits or leaves
  const Busy busy(*this);
  passes_on_ = true;
  const std::unique_ptr<bool, void (*)(bool*)> over(&passes_on_, [](bool* it) { *it = false; });
  if (alone_) {
    detail::MapWindow::Result result;
    while (window_->next(result, Clock::time_point::min()) == detail::MapWindow::Next::result)
      kept_.erase(result.index);
  }
  if (without_bound_) submit_read(calls_.count());
  else submit_what_fits();
  if (read_to_end_ && calls_.empty() && !inputs_ended_) publish();
}

// The reader has the window for a moment, in which making an exception can let others in.
void MapTasks::wait_for_pass_on() const noexcept {
  while (busy_ && passes_on_ && reader_ != PyThread_get_thread_ident()) pause();
}

// An iterator that another map's reader reads is that one's until it has ended, as where one thread reads for all.
bool MapTasks::wait_for_other_reader(PyObject* iterators) {
  while (!stop_ && is_being_read(iterators)) pause();
  return !stop_;
}

void MapTasks::read_ahead() {
  Object iterators = plan_.iterators;
  reader_ = PyThread_get_thread_ident();
  if (wait_for_other_reader(iterators.get())) {
    const Claim claim(iterators.get());
    auto passed_on = Clock::now();
    while (!stop_) {
      if (!has_room() || pending_) {
        pass_on();
        if (!has_room() || pending_) wait_for_room();
        if (stop_ || !has_room()) continue;
      }
      bool more = false;
      std::exception_ptr failure;
      in_input_ = true;
      try {
        more = read_one();
      } catch (...) {
        failure = std::current_exception();
      }
      in_input_ = false;
      if (failure) {
        set_error(failure);
        Object error = take_error();
        if (!stop_) input_error_ = std::move(error);
      }
      if (!more) break;
      if (consumer_waits_) {
        if (calls_.count() == 1) pass_on();  // if more, then it knows, or the window is full
      } else if (staged_ <= kAtOnce || calls_.count() >= kBurst || Clock::now() - passed_on >= kBurstTime) {
        pass_on();
        passed_on = Clock::now();
      }
    }
  }
  plan_.iterators = Object();
  common_.clear();
  pending_ = Object();
  iterators = Object();  // which may close a generator
  read_to_end_ = true;
  for (;;) {
    pass_on();
    if (stop_ || inputs_ended_ || calls_.empty()) break;
    wait_for_room();
  }
  has_reader_ = false;
  calls_.clear();
  calls_name_.clear();
  if (consumer_waits_ && window_ != nullptr) window_->nudge();
}

void MapTasks::read_without_bound() noexcept {
  without_bound_ = true;
  wake_reader();
}

void MapTasks::go_on_alone() noexcept {
  alone_ = true;
  wake_reader();
}

void MapTasks::end_reading() noexcept {
  if (!has_reader_ || stop_) return;
  stop_ = true;
  if (!inputs_ended_) {
    input_error_ = error_object(std::make_exception_ptr(PoolClosed("the pool was shut down")));
    inputs_ended_ = true;
  }
  wake_reader();
  if (consumer_waits_ && window_ != nullptr) window_->nudge();
}

}  // namespace retinue::python
