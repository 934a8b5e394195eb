// EXPECT: not callable with these arguments
#include <retinue/detail/codec/call_traits.hpp>

int add(int a, int b) { return a + b; }

#ifdef RETINUE_MUST_COMPILE
bool checked = retinue::detail::Call<decltype(&add), int, int>::check();
#else
bool checked = retinue::detail::Call<decltype(&add), int>::check();
#endif
