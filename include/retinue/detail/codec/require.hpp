// The compile-time error for what cannot travel.
#pragma once

#include <retinue/codec.hpp>

namespace retinue::detail {

/// Compilers print the template arguments, and so both names.
template <class Part, class Value>
struct CannotTravel {
  static_assert(!std::is_same_v<Value, Value>,
                "'Part' (named above, found inside 'Value') cannot travel to a worker process. Send values instead "
                "of pointers and references; for large data send the SharedSpan of a retinue::SharedArray; for a "
                "type of your own specialise retinue::Codec<T> or include <retinue/cereal.hpp>; for a closure bind "
                "what it captures with retinue::bind_front; or call retinue::map, which forks its workers when the "
                "data is already there.");
};

template <class Value>
struct ResultIsAView {
  static_assert(!std::is_same_v<Value, Value>,
                "a result of type 'Value' cannot travel to a worker process's owner: it holds a string_view or a "
                "span, and what that views stays in the worker. Return std::string or std::vector instead.");
};

/// Does not compile unless T travels; says why and what can be done.
template <class T>
constexpr void require_travels() {
  if constexpr (!travels<T>()) static_cast<void>(sizeof(CannotTravel<StuckOn<T>, T>));
}

/// True for a result that is a block of shared memory and passes to the owner as it is: a SharedArray.
template <class T>
inline constexpr bool kTravelsAsBlock = false;

/// Likewise for what a task returns, which must also own all it holds.
template <class T>
constexpr void require_result_travels() {
  if constexpr (!std::is_void_v<T> && !kTravelsAsBlock<T>) {
    require_travels<T>();
    if constexpr (travels<T>()) {
      if constexpr (kViews<T>) static_cast<void>(sizeof(ResultIsAView<T>));
    }
  }
}

}  // namespace retinue::detail
