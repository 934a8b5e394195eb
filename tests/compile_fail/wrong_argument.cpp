// EXPECT: not callable with these arguments
#include <retinue/detail/codec/call_traits.hpp>

#include <string>
#include <vector>

int length(const std::vector<int>& v) { return static_cast<int>(v.size()); }

#ifdef RETINUE_MUST_COMPILE
using Given = std::vector<int>;
#else
using Given = int;  // vector's constructor from a size is explicit
#endif

bool checked = retinue::detail::Call<decltype(&length), Given>::check();
