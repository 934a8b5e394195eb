// How one type is tried: what is read from a payload must survive being sent again.
#pragma once

#include "fuzz/decoder.hpp"
#include "fuzz/memory_limit.hpp"
#include "unit/generated_values.hpp"
#include "unit/payload_memory.hpp"
#include "unit/same_values.hpp"

#include <retinue/detail/codec/payload.hpp>
#include <retinue/error.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>

namespace retinue_fuzz {

using Bytes = std::span<const std::byte>;

/// A thing that can be read: how an undamaged payload is made, and what is done with any.
struct Kind {
  const char* name;
  void (*decode)(const char* name, Bytes payload);
  Input (*encode)(retinue_test::Generator&);
};

inline void require(bool holds, const char* what, const char* name) {
  if (holds) return;
  std::fprintf(stderr, "%s: %s\n", name, what);
  std::abort();
}

/// A copy of a payload, in memory of exactly its size, some bytes behind an aligned address.
class Placed {
 public:
  Placed(Bytes payload, std::size_t offset) : memory_(padded(payload, offset)), offset_(offset) {}
  Bytes bytes() const { return Bytes(memory_.data(), memory_.size()).subspan(offset_); }

 private:
  static std::vector<std::byte> padded(Bytes payload, std::size_t offset) {
    std::vector<std::byte> all(offset);
    all.insert(all.end(), payload.begin(), payload.end());
    return all;
  }
  retinue_test::Payload memory_;
  std::size_t offset_;
};

inline Input input_of(const retinue_test::Payload& payload) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(payload.data());
  return Input(bytes, bytes + payload.size());
}

/// Room for the largest elements that a byte can stand for, and for the text of an error.
inline std::size_t fair_share(Bytes payload) { return 64 * 1024 + 1024 * payload.size(); }

/// Calls read(reader). False if the payload is refused, with a CodecError or, if `E` says so, an E.
template <class E = retinue::CodecError, class Read>
bool read_or_refuse(Bytes payload, Read&& read) {
  retinue::Reader reader(payload.data(), payload.size());
  const MemoryLimit limit(fair_share(payload));
  try {
    read(reader);
    return true;
  } catch (const E&) {
    return false;
  }
}

template <class T, class E, bool one_way_to_write>
void decode_value(const char* name, Bytes payload) {
  std::optional<T> value;
  if (!read_or_refuse<E>(payload, [&value](retinue::Reader& r) { value.emplace(r.value<T>()); })) return;
  const retinue_test::Payload sent(*value);
  retinue::Reader reader = sent.reader();
  const T arrived = retinue::detail::read_payload<T>(reader);
  require(retinue_test::same(*value, arrived), "what was read is another value once it is sent again", name);
  const retinue_test::Payload again(arrived);
  require(sent.size() == again.size(), "sent twice it has two sizes", name);
  if (one_way_to_write) require(sent.bytes() == again.bytes(), "sent twice it is written in two ways", name);
}

/// A type of which equal values have equal bytes.
template <class T>
constexpr Kind value(const char* name) {
  return {name, &decode_value<T, retinue::CodecError, true>,
          [](retinue_test::Generator& g) { return input_of(retinue_test::Payload(g.make<T>())); }};
}

/// A type with padding, or without an order.
template <class T>
constexpr Kind loose(const char* name) {
  return {name, &decode_value<T, retinue::CodecError, false>,
          [](retinue_test::Generator& g) { return input_of(retinue_test::Payload(g.make<T>())); }};
}

/// A type that looks into its payload and is written like `Owner`.
template <class T, class Owner>
constexpr Kind view(const char* name) {
  return {name, &decode_value<T, retinue::CodecError, false>,
          [](retinue_test::Generator& g) { return input_of(retinue_test::Payload(g.make<Owner>())); }};
}

/// A pointer to a function or a member. Nothing that was read is called.
template <auto first, auto... more>
constexpr Kind pointer(const char* name) {
  using T = std::remove_const_t<decltype(first)>;
  return {name, &decode_value<std::vector<T>, retinue::Error, true>, [](retinue_test::Generator& g) {
            const std::array<T, 1 + sizeof...(more)> all{first, more...};
            return input_of(retinue_test::Payload(std::vector<T>{all[g.below(all.size())], nullptr}));
          }};
}

}  // namespace retinue_fuzz
