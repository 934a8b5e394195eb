// A raw pointer means nothing in another process.
// EXPECT: cannot travel to a worker process
// EXPECT: double ?\*
// EXPECT: retinue::SharedArray
#include <retinue/detail/codec/call_traits.hpp>

#include <vector>

#ifdef RETINUE_MUST_COMPILE
double first(const std::vector<double>& values) { return values[0]; }
using Given = std::vector<double>;
#else
double first(double* values) { return values[0]; }
using Given = double*;
#endif

bool checked = retinue::detail::Call<decltype(&first), Given>::check();
