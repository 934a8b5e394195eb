// What the fuzzer and the replay do with one input: read it as a payload, as the engine does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace retinue_fuzz {

using Input = std::vector<std::uint8_t>;

/// Reads an input. Its first byte says what to read (a type, a call, an exception), its second how far from
/// an aligned address the payload starts, the rest is the payload. What must hold:
///
/// - it ends in a value or in CodecError (Error, where a pointer to a function names a module that is not
///   loaded), and asks for memory in proportion to the input only;
/// - a value that was read arrives as it is when it is sent again, in the same bytes where its type has but
///   one way to be written.
///
/// Prints what does not hold and aborts.
void decode(std::span<const std::uint8_t> input);

/// A name and inputs with undamaged payloads for each thing that can be read; `rounds` of them.
struct Seed {
  std::string name;
  Input input;
};
std::vector<Seed> seeds(unsigned rounds);

}  // namespace retinue_fuzz
