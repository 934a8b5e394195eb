// What the C++ blocks of the documentation take for granted: it stands before those of each page. A function called
// `square`, a pool called `pool` (check_examples.py has it), and the headers that a reader would think of.
#pragma once

#include <retinue/retinue.hpp>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

using namespace std::chrono_literals;

inline int square(int x) { return x * x; }

// Throws for 7, takes a while for anything else.
inline int risky(int x) {
  if (x == 7) throw std::out_of_range("seven");
  std::this_thread::sleep_for(300ms);
  return x;
}

inline double measure() { return 0.5; }
