// libFuzzer's door to the decoder.
#include "fuzz/decoder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  retinue_fuzz::decode({data, size});
  return 0;
}
