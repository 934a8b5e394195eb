// What a part of a program offers the others.
#pragma once

#include <string>

#include <retinue/process_pool.hpp>
#include <retinue/thread_pool.hpp>

namespace retinue_test {

/// Each function that gives a text gives that of the Error it has met, or none.
struct Part {
  int (*run)();  ///< pools of its own; 0 if all was right
  std::string (*submit)(retinue::ProcessPool&);
  std::string (*map)(retinue::ProcessPool&);
  std::string (*take_backend)(retinue::ProcessPool&);
  std::string (*submit_to_threads)(retinue::ThreadPool&);
  std::string (*wait_for_any)(retinue::Future<int>&);
  void (*end)(retinue::ProcessPool&);
};

}  // namespace retinue_test
