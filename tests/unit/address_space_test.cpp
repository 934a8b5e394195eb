// Extents: which addresses of the region are free.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "memory/address_space.hpp"

namespace address_space_test {

using retinue::detail::AddressSpace;
using retinue::detail::Extent;

TEST(AddressSpace, gives_the_first_or_the_best_fitting_extent) {
  AddressSpace space;
  space.give({1000, 500});
  space.give({2000, 100});
  space.give({3000, 300});
  EXPECT_EQ(space.free_bytes(), 900u);
  EXPECT_EQ(space.take_best(100).offset, 2000u);
  EXPECT_EQ(space.take_best(250).offset, 3000u);
  EXPECT_EQ(space.take_first(50).offset, 1000u);
  EXPECT_EQ(space.take_first(450).offset, 1050u);
  EXPECT_EQ(space.take_first(51).length, 0u);
  EXPECT_EQ(space.take_best(51).length, 0u);
  EXPECT_EQ(space.take_best(50).offset, 3250u);
  EXPECT_TRUE(space.empty());
  EXPECT_EQ(space.free_bytes(), 0u);
}

TEST(AddressSpace, merges_neighbours_on_both_sides) {
  for (const bool backwards : {false, true}) {
    AddressSpace space;
    std::vector<Extent> pieces{{0, 10}, {10, 10}, {20, 10}, {30, 10}};
    if (backwards) std::ranges::reverse(pieces);
    for (const Extent& piece : pieces) space.give(piece);
    EXPECT_EQ(space.take_first(40).length, 40u);
  }
  AddressSpace space;
  space.give({0, 10});
  space.give({20, 10});
  EXPECT_EQ(space.take_first(20).length, 0u);
  space.give({10, 10});
  EXPECT_EQ(space.take_first(30).length, 30u);
}

TEST(AddressSpace, an_empty_extent_is_nothing) {
  AddressSpace space({100, 0});
  EXPECT_TRUE(space.empty());
  space.give({5, 0});
  EXPECT_TRUE(space.empty());
}

TEST(AddressSpace, agrees_with_a_bitmap_over_many_random_steps) {
  constexpr std::uint64_t kSize = 2000;
  AddressSpace space({0, kSize});
  std::vector<bool> free(kSize, true);
  std::vector<Extent> taken;
  std::mt19937 random(7);
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0 && !taken.empty()) {
      const std::size_t i = random() % taken.size();
      for (std::uint64_t k = taken[i].offset; k < taken[i].end(); ++k) free[k] = true;
      space.give(taken[i]);
      taken[i] = taken.back();
      taken.pop_back();
    } else {
      const std::uint64_t length = 1 + random() % 60;
      const Extent extent = random() % 2 ? space.take_first(length) : space.take_best(length);
      std::uint64_t longest = 0, run = 0;
      for (std::uint64_t k = 0; k < kSize; ++k) longest = std::max(longest, run = free[k] ? run + 1 : 0);
      ASSERT_EQ(extent.length, longest >= length ? length : 0u);
      if (extent.length == 0) continue;
      for (std::uint64_t k = extent.offset; k < extent.end(); ++k) {
        ASSERT_TRUE(free[k]) << "given twice";
        free[k] = false;
      }
      taken.push_back(extent);
    }
    ASSERT_EQ(space.free_bytes(), static_cast<std::uint64_t>(std::ranges::count(free, true)));
  }
}

TEST(AddressSpace, take_last_takes_from_the_end_until_nothing_is_left) {
  AddressSpace space;
  space.give({10, 5});
  space.give({30, 5});
  std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;
  std::uint64_t left = 10;
  for (Extent e = space.take_last(3); e.length != 0; e = space.take_last(3)) {
    taken.emplace_back(e.offset, e.length);
    left -= e.length;
    EXPECT_EQ(space.free_bytes(), left);
  }
  EXPECT_EQ(taken, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{32, 3}, {30, 2}, {12, 3}, {10, 2}}));
  EXPECT_TRUE(space.empty());
  EXPECT_EQ(space.free_bytes(), 0u);
}

TEST(Extent, holds_only_what_lies_inside_even_for_absurd_sizes) {
  const Extent e{4096, 8192};
  EXPECT_TRUE(e.holds(4096, 8192));
  EXPECT_TRUE(e.holds(12287, 1));
  EXPECT_FALSE(e.holds(12287, 2));
  EXPECT_FALSE(e.holds(4095, 1));
  EXPECT_FALSE(e.holds(~std::uint64_t{0}, 2));
  EXPECT_FALSE(e.holds(5000, ~std::uint64_t{0}));
  EXPECT_FALSE(e.holds(~std::uint64_t{0}, ~std::uint64_t{0}));
}

}  // namespace address_space_test
