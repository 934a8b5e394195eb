// What encoding and decoding check, and the three templates that they are made of.
#pragma once

#include <retinue/error.hpp>

#include <cstddef>
#include <string>

namespace retinue {

class Reader;

/// Who will read a payload.
enum class Reach : bool {
  bytes_only,   ///< a process that has nothing but the payload's bytes
  same_region,  ///< one that shares this process's memory region: handles on shared memory may travel as addresses
};

namespace detail {

/// The deepest nesting of aggregates and of types with a Codec; recursive types end here, not the stack.
inline constexpr int kMaxDepth = 1000;
/// Payloads start at addresses that are a multiple of this.
inline constexpr std::size_t kPayloadAlignment = 32;

[[noreturn, gnu::cold, gnu::noinline]] inline void damaged(const char* what) {
  throw CodecError(std::string("damaged or truncated payload: ") + what);
}
[[noreturn, gnu::cold, gnu::noinline]] inline void too_deep() {
  throw CodecError("a value is nested more than " + std::to_string(kMaxDepth) +
                   " levels deep; give its type a retinue::Codec that writes it without recursion");
}
[[noreturn, gnu::cold, gnu::noinline]] inline void changed_while_encoded() {
  throw CodecError("a value changed while it was encoded, or its Codec writes different bytes when asked twice");
}

/// Counts one level of nesting for the time it lives.
class NestingGuard {
 public:
  explicit NestingGuard(int& depth) : depth_(depth) {
    if (++depth_ > kMaxDepth) {
      --depth_;
      too_deep();
    }
  }
  NestingGuard(const NestingGuard&) = delete;
  NestingGuard& operator=(const NestingGuard&) = delete;
  ~NestingGuard() { --depth_; }

 private:
  int& depth_;
};

template <class W, class T>
void encode(W& w, const T& value);
template <class T>
T decode(Reader& r);
template <class T>
consteval bool travels();

}  // namespace detail

}  // namespace retinue
