// What stands before each value in a payload.
#pragma once

#include <cstdint>

namespace retinue::python {

/// What a tagged value begins with.
enum class ValueTag : std::uint8_t {
  none,
  yes,
  no,
  small_int,           ///< i8
  integer,             ///< i64
  real,                ///< f64
  ascii,               ///< u32 length, bytes
  text,                ///< u8 bytes a character, u32 length, characters
  text_outside,        ///< likewise, characters in an external; length is u64
  bytes,               ///< u32 length, bytes
  bytes_outside,       ///< u64 length; an external
  tuple,               ///< u32 count, values
  list,                ///< likewise
  packed_tuple,        ///< u8 PackedKind, u32 count, numbers
  packed_list,         ///< likewise
  dict,                ///< u32 count, keys and values in turn
  numbered_dict,       ///< a packed tuple of the keys, a tuple of the values
  set,                 ///< a tuple
  frozen_set,          ///< likewise
  byte_array,          ///< u32 length, bytes
  byte_array_outside,  ///< u64 length; an external
  bytes_elsewhere,     ///< u64 length, u64 address of shared memory
  shared_array,        ///< ArrayName
  shared_value,        ///< u64 number, u64 address, u64 length: what `share` gave
  pickle,              ///< u32 length, bytes
  pickle_outside,      ///< u64 length; an external
  pickle_with_buffers  ///< u32 count, count x (u8 BufferFlags, u64 length; an external, or u64 address), then a pickle
};

/// What the numbers are that stand in a row.
enum class PackedKind : std::uint8_t { i32, i64, f64 };

}  // namespace retinue::python
