// Nobody can vouch for a closure that owns something.
// EXPECT: retinue::bitwise needs a trivially copyable callable
#include <retinue/codec.hpp>

#include <optional>
#include <string>

int main() {
#ifdef RETINUE_MUST_COMPILE
  std::optional<int> limit = 3;
  return retinue::bitwise([limit] { return *limit; })() - 3;
#else
  std::string name = "x";
  return retinue::bitwise([name] { return static_cast<int>(name.size()); })() - 1;
#endif
}
