// What a closure captured can be copied only if copying its bytes is enough; else it is bound.
// EXPECT: cannot travel to a worker process
// EXPECT: retinue::bind_front
#include <retinue/detail/codec/call_traits.hpp>

#include <string>

template <class F>
bool check(F) {
  return retinue::detail::Call<F, int>::check();
}

int main() {
  std::string prefix = "x";
#ifdef RETINUE_MUST_COMPILE
  return check(retinue::bind_front([](const std::string& p, int n) { return p + std::to_string(n); }, prefix));
#else
  return check([prefix](int n) { return prefix + std::to_string(n); });
#endif
}
