// Numbers that follow from a seed alone, the same with every compiler and library.
#pragma once

#include <cstdint>

namespace retinue_chaos {

/// SplitMix64. The distributions of <random> differ between libraries, and with them the plan of a seed would.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t operator()() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  std::uint64_t below(std::uint64_t n) noexcept { return (*this)() % n; }
  std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept { return least + below(most - least + 1); }
  bool one_in(std::uint64_t n) noexcept { return below(n) == 0; }
  /// From 1 to 2^`doublings`, as many between 1 and 2 as between 1 Mi and 2 Mi.
  std::uint64_t any_size(unsigned doublings) noexcept {
    const std::uint64_t half = std::uint64_t{1} << below(doublings);
    return half + below(half);
  }
  template <class T, std::size_t n>
  T pick(const T (&of)[n]) noexcept {
    return of[below(n)];
  }

 private:
  std::uint64_t state_;
};

inline std::uint64_t mixed(std::uint64_t a, std::uint64_t b) noexcept { return Random(a ^ Random(b)())(); }

}  // namespace retinue_chaos
