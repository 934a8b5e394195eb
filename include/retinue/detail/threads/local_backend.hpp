// The backend of executors whose tasks run in this process.
#pragma once

#include <memory>

#include <retinue/detail/tasks/backend.hpp>

namespace retinue::detail {

class ThreadCore;

/// Of a ThreadPool's threads; without a core, of whichever thread submits: it then runs the task itself.
Ref<Backend> make_local_backend(std::shared_ptr<ThreadCore> core);

}  // namespace retinue::detail
