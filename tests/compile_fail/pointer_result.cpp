// A result must travel too.
// EXPECT: cannot travel to a worker process
// EXPECT: CannotTravel<int ?\*
#include <retinue/detail/codec/call_traits.hpp>

#include <memory>

#ifdef RETINUE_MUST_COMPILE
std::unique_ptr<int> make(int x) { return std::make_unique<int>(x); }
#else
int* make(int x) { return new int(x); }
#endif

bool checked = retinue::detail::Call<decltype(&make), int>::check();
