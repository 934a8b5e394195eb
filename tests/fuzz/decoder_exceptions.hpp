// Exceptions, read as the owner does.
#pragma once

#include "fuzz/decoder_values.hpp"

namespace retinue_fuzz {

/// An exception that comes out of its bytes is a std::exception; sent on, it keeps its text.
Kind exception(const char* name);

}  // namespace retinue_fuzz
