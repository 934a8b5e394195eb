#include <retinue/version.hpp>

namespace retinue {

std::string_view version() noexcept { return RETINUE_VERSION; }

}  // namespace retinue
