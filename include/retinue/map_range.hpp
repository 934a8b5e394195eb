// What a map returns: its results as a lazy range.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include <retinue/error.hpp>

namespace retinue {

/// How one item of a map ended: with a value or with an exception.
template <class T>
class Outcome {
 public:
  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  /// The value, or throws the exception this item ended with.
  T& value() {
    if (!value_) std::rethrow_exception(error_);
    return *value_;
  }
  const T& value() const { return const_cast<Outcome*>(this)->value(); }
  /// The exception, or nullptr if there is a value.
  const std::exception_ptr& error() const noexcept { return error_; }
  /// The item's place in the input, from 0.
  std::uint64_t index() const noexcept { return index_; }

  void set_value(std::uint64_t index, T&& value) {
    index_ = index;
    error_ = nullptr;
    value_.emplace(std::move(value));
  }
  void set_error(std::uint64_t index, std::exception_ptr error) noexcept {
    index_ = index;
    value_.reset();
    error_ = std::move(error);
  }

 private:
  std::optional<T> value_;
  std::exception_ptr error_;
  std::uint64_t index_ = 0;
};

namespace detail {

/// One map under way in some executor. Used by one thread at a time. Its destructor cancels the
/// tasks that have not started; running ones end unseen.
template <class T>
class MapSource {
 public:
  virtual ~MapSource() = default;
  /// Waits for the next outcome; false at the end of the inputs. Throws what reading the inputs throws,
  /// or PoolClosed / ResourceExhausted; such a throw ends the map.
  virtual bool next(Outcome<T>& into) = 0;
};

template <class T>
class MapCursor {
 public:
  explicit MapCursor(std::unique_ptr<MapSource<T>> source) : source_(std::move(source)) {}
  void advance() {
    at_end_ = true;  // also if the next line throws: that ends the map
    at_end_ = !source_->next(current_);
  }
  bool at_end() const noexcept { return at_end_; }
  Outcome<T>& current() noexcept { return current_; }

 private:
  std::unique_ptr<MapSource<T>> source_;
  Outcome<T> current_;
  bool at_end_ = false;
};

/// The iterator of MapRange (Deref = value) and OutcomeRange (Deref = outcome).
template <class T, bool kOutcomes>
class MapIterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using iterator_category = std::input_iterator_tag;
  using difference_type = std::ptrdiff_t;
  using value_type = std::conditional_t<kOutcomes, Outcome<T>, T>;
  using reference = value_type&;
  using pointer = value_type*;

  MapIterator() = default;
  explicit MapIterator(MapCursor<T>* cursor) noexcept : cursor_(cursor) {}
  reference operator*() const {
    if constexpr (kOutcomes) return cursor_->current();
    else return cursor_->current().value();
  }
  pointer operator->() const { return &**this; }
  MapIterator& operator++() {
    cursor_->advance();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const MapIterator& it, std::default_sentinel_t) noexcept { return it.cursor_->at_end(); }

 private:
  MapCursor<T>* cursor_ = nullptr;
};

template <class T, bool kOutcomes>
class MapResults {
 public:
  using iterator = MapIterator<T, kOutcomes>;
  using value_type = typename iterator::value_type;

  /// Starts the map, or goes on where an earlier iteration left off. Waits for the first result.
  iterator begin() {
    if (!started_) {
      started_ = true;
      cursor_->advance();
    }
    return iterator(cursor_.get());
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 protected:
  MapResults(std::unique_ptr<MapCursor<T>> cursor, bool started) : cursor_(std::move(cursor)), started_(started) {}
  std::unique_ptr<MapCursor<T>> cursor_;
  bool started_ = false;
};

}  // namespace detail

/// The results of a map with each item's own outcome: iterating never throws what a task threw.
/// An input range, to be walked once, by one thread at a time.
template <class T>
class OutcomeRange : public detail::MapResults<T, true> {
  using Base = detail::MapResults<T, true>;

 public:
  OutcomeRange(std::unique_ptr<detail::MapCursor<T>> cursor, bool started) : Base(std::move(cursor), started) {}

  /// Waits for all and gives them as a vector.
  std::vector<Outcome<T>> collect() {
    std::vector<Outcome<T>> all;
    for (auto& outcome : *this) all.push_back(std::move(outcome));
    return all;
  }
};

/// The results of a map: a lazy input range, to be walked once, by one thread at a time. It owns what
/// it needs (its function, its inputs if they were temporaries, its place in the pool), so that it may
/// outlive the statement and even the pool object that made it, whose shutdown ends it with PoolClosed.
///
/// Inputs are read only as far ahead as results are taken (see `TaskOptions::look_ahead`), so endless
/// inputs are fine. Dereferencing an item whose task failed throws that task's exception; the range
/// stays usable, `++` goes on with the next item. Leaving it early cancels what has not started.
template <class T>
class MapRange : public detail::MapResults<T, false> {
  using Base = detail::MapResults<T, false>;

 public:
  explicit MapRange(std::unique_ptr<detail::MapSource<T>> source)
      : Base(std::make_unique<detail::MapCursor<T>>(std::move(source)), false) {}

  /// Waits for all results and gives them as a vector; throws the first exception in the order of
  /// delivery and cancels the rest. Never returns on an endless input.
  std::vector<T> collect() {
    std::vector<T> all;
    for (auto& value : *this) all.push_back(std::move(value));
    return all;
  }

  /// The same results with failures as values instead of exceptions. Takes over this range.
  OutcomeRange<T> outcomes() { return OutcomeRange<T>(std::move(this->cursor_), this->started_); }
};

}  // namespace retinue
