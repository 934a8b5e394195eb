// Shared ownership does not reach across processes.
// EXPECT: cannot travel to a worker process
// EXPECT: shared_ptr<(int|std::string|std::__cxx11::basic_string)
#include <retinue/detail/codec/require.hpp>

#include <memory>
#include <optional>

#ifdef RETINUE_MUST_COMPILE
void check() { retinue::detail::require_travels<std::optional<std::unique_ptr<int>>>(); }
#else
void check() { retinue::detail::require_travels<std::optional<std::shared_ptr<int>>>(); }
#endif
