// Some executor may be one of processes: what cannot travel is refused, though threads could be inside.
// EXPECT: cannot travel to a worker process
// EXPECT: double ?\*
#include <retinue/any_executor.hpp>

#include <vector>

#ifdef RETINUE_MUST_COMPILE
double first(const std::vector<double>& values) { return values[0]; }
using Given = std::vector<double>;
#else
double first(double* values) { return values[0]; }
using Given = double*;
#endif

double run(retinue::AnyExecutor executor, Given given) { return executor.submit(first, given).get(); }
