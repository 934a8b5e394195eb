// An aggregate that cannot be taken apart is refused, never cut short.
// EXPECT: cannot travel to a worker process
// EXPECT: CannotTravel<Wide
#include <retinue/detail/codec/require.hpp>

#include <string>

struct Wide {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16;
  int b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15;
#ifndef RETINUE_MUST_COMPILE
  int c1, c2;
#endif
  std::string s;
};

void check() { retinue::detail::require_travels<Wide>(); }
