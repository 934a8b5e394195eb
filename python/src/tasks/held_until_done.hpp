// What a call under way needs when nobody waits for it any more.
#pragma once

#include <new>
#include <utility>
#include <vector>

#include "tasks/calls.hpp"

namespace retinue::python {

/// Released in whichever thread comes last.
struct HeldUntilDone {
  HeldUntilDone(FunctionRef f, std::vector<Object> k) noexcept : function(std::move(f)), kept(std::move(k)) {}
  HeldUntilDone(const HeldUntilDone&) = delete;
  HeldUntilDone& operator=(const HeldUntilDone&) = delete;
  ~HeldUntilDone() {
    if (Py_IsInitialized()) {
      const WithGil with;
      function.reset();
      kept.clear();
    } else {
      for (Object& object : kept) (void)object.release();
      [[maybe_unused]] auto* const left = new (std::nothrow) FunctionRef(std::move(function));
    }
  }

  FunctionRef function;
  std::vector<Object> kept;
};

}  // namespace retinue::python
