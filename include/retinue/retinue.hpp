// Everything: include this one, or the headers below one by one.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <retinue/any_executor.hpp>
#include <retinue/as_completed.hpp>
#include <retinue/codec.hpp>
#include <retinue/cpu_count.hpp>
#include <retinue/error.hpp>
#include <retinue/exceptions.hpp>
#include <retinue/executor.hpp>
#include <retinue/future.hpp>
#include <retinue/map.hpp>
#include <retinue/map_range.hpp>
#include <retinue/pool_stats.hpp>
#include <retinue/process_pool.hpp>
#include <retinue/process_pool_options.hpp>
#include <retinue/reader.hpp>
#include <retinue/result_view.hpp>
#include <retinue/serial_executor.hpp>
#include <retinue/shared_array.hpp>
#include <retinue/shared_memory.hpp>
#include <retinue/shared_view.hpp>
#include <retinue/task_options.hpp>
#include <retinue/thread_pool.hpp>
#include <retinue/version.hpp>
#include <retinue/wait.hpp>
#include <retinue/worker_limits.hpp>
#include <retinue/writer.hpp>
