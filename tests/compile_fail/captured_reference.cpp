// A closure that captured by reference would look at the owner's stack.
// EXPECT: cannot travel to a worker process
// EXPECT: CannotTravel<.*lambda
// EXPECT: retinue::bind_front
#include <retinue/detail/codec/call_traits.hpp>

int offset = 0;

template <class F>
bool check(F) {
  return retinue::detail::Call<F, int>::check();
}

int main() {
  int local = offset;
#ifdef RETINUE_MUST_COMPILE
  return check([local](int x) { return x + local; });
#else
  return check([&local](int x) { return x + local; });
#endif
}
