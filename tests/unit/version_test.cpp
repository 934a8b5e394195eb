// One version: of the headers, of the library, of the build.
#include <retinue/version.hpp>

#include <gtest/gtest.h>

#include <string>

#include "support/build_places.hpp"

namespace version_test {

TEST(Version, of_headers_library_and_build_is_one) {
  const std::string numbers = std::to_string(RETINUE_VERSION_MAJOR) + "." + std::to_string(RETINUE_VERSION_MINOR) +
                              "." + std::to_string(RETINUE_VERSION_PATCH);
  EXPECT_EQ(RETINUE_VERSION, numbers);
  EXPECT_EQ(retinue::version(), RETINUE_VERSION);
  EXPECT_EQ(retinue_test::built_version(), RETINUE_VERSION) << "what CMake calls the project's version";
}

}  // namespace version_test
