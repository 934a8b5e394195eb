// A map whose items have timeouts: each item is a task of its own, so that each can end on time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/call.hpp>
#include <retinue/detail/tasks/inputs.hpp>
#include <retinue/detail/tasks/order.hpp>
#include <retinue/future.hpp>
#include <retinue/map_range.hpp>
#include <retinue/task_options.hpp>

namespace retinue::detail {

/// Slower by some hundred nanoseconds an item than ThreadMap, which cannot end an item before its call
/// returns. An item that is overdue goes on with its own elements and a shared hold on the function.
/// `submit(options, call)` gives a Future. Used by one thread at a time.
template <class T, class F, class Submit, class... Rs>
class TimedMap final : public MapSource<T> {
 public:
  template <class G>
  TimedMap(const TaskOptions& options, std::size_t look_ahead, Order order, Submit submit, G&& f, Rs&&... inputs)
      : options_(options),
        window_(look_ahead),
        order_(order),
        submit_(std::move(submit)),
        f_(std::make_shared<const F>(std::forward<G>(f))),
        inputs_(std::in_place, std::forward<Rs>(inputs)...) {}
  ~TimedMap() override {
    for (auto& item : items_) item.future.cancel();
  }

  bool next(Outcome<T>& into) override {
    while (!ended_ && items_.size() < window_) read();
    if (items_.empty()) {
      if (input_error_) std::rethrow_exception(std::exchange(input_error_, nullptr));
      return false;
    }
    auto it = items_.begin();
    if (order_ == Order::completion) {
      std::vector<Completion*> set;
      for (const auto& item : items_) set.push_back(item.future.completion());
      wait_for_any(set, std::nullopt);
      it = std::ranges::find_if(items_, [](const Item& item) { return item.future.done(); });
    }
    try {
      into.set_value(it->index, it->future.get());
    } catch (...) {
      into.set_error(it->index, std::current_exception());
    }
    items_.erase(it);
    return true;
  }

 private:
  struct Item {
    std::uint64_t index;
    Future<T> future;
  };

  void read() {
    try {
      const bool more = inputs_.next([this](auto&&... e) {
        auto call = [f = f_,
                     elements = std::tuple<Element<Rs>...>(element_of<Rs>(std::forward<decltype(e)>(e))...)]() mutable {
          return std::apply(
              [&f](Element<Rs>&... each) -> T { return map_call<F, Element<Rs>...>(*f, std::move(each)...); },
              elements);
        };
        items_.push_back(Item{index_, submit_(options_, std::move(call))});
        ++index_;
      });
      ended_ = !more;
    } catch (...) {
      input_error_ = std::current_exception();
      ended_ = true;
    }
  }

  TaskOptions options_;
  std::size_t window_;
  Order order_;
  Submit submit_;
  std::shared_ptr<const F> f_;
  Inputs<Rs...> inputs_;
  std::vector<Item> items_;
  std::uint64_t index_ = 0;
  std::exception_ptr input_error_;
  bool ended_ = false;
};

}  // namespace retinue::detail
