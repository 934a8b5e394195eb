// Values as payloads: results, and whatever else is sent without a function.
#pragma once

#include <retinue/codec.hpp>

namespace retinue::detail {

/// The bytes that write_payload will take for the same values and reader.
template <Reach reach = Reach::same_region, class... T>
std::size_t payload_size(const T&... values) {
  SizeCounter counter(reach);
  counter(values...);
  return counter.size();
}

/// Encodes the values into the n bytes at `to`, which must be aligned to kPayloadAlignment. Throws
/// CodecError if they do not take exactly n, or name shared memory that the reader does not have.
template <Reach reach = Reach::same_region, class... T>
void write_payload(std::byte* to, std::size_t n, const T&... values) {
  Writer w(to, n, reach);
  w(values...);
  w.finish();
}

/// The same, into room for n bytes. Throws ResourceExhausted as well.
template <Reach reach = Reach::same_region, class... T>
void write_payload(const Room& to, std::size_t n, const T&... values) {
  Writer w(to, n, reach);
  w(values...);
  w.finish();
}

/// The one value in a payload. Throws CodecError unless it is all there is.
template <class T>
T read_payload(Reader& r) {
  T value = r.value<T>();
  r.finish();
  return value;
}

}  // namespace retinue::detail
