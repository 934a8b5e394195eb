// A task's future as a Python object.
#pragma once

#include <retinue/detail/processes/process_backend.hpp>

#include "tasks/calls.hpp"

namespace retinue::python {

/// The base of retinue's futures; see future.cpp. What submits make is of `helpers::future_class`, which derives from it
/// and from concurrent.futures.Future.
extern PyTypeObject FutureType;

/// `kept`: what must live until the outcome was read, or null. `keep_function`: false if somebody else keeps it.
Object make_future(detail::Ref<detail::EncodedCompletion> task, FunctionRef function, Object kept, bool keep_function);
/// One that has failed already, with this exception.
Object make_failed_future(Object error);

}  // namespace retinue::python
