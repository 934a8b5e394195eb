// A function that changes its argument would change a copy.
// EXPECT: results come back by return value
#include <retinue/detail/codec/call_traits.hpp>

#include <algorithm>
#include <vector>

#ifdef RETINUE_MUST_COMPILE
std::vector<int> sorted(std::vector<int> v) {
  std::sort(v.begin(), v.end());
  return v;
}
#else
void sorted(std::vector<int>& v) { std::sort(v.begin(), v.end()); }
#endif

bool checked = retinue::detail::Call<decltype(&sorted), std::vector<int>&>::check();
