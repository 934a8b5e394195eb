// Memory for payloads in tests: aligned as the engine aligns it, exactly as large as needed.
#pragma once

#include <retinue/detail/codec/payload.hpp>

#include <cstring>
#include <new>
#include <vector>

namespace retinue_test {

class Payload {
 public:
  template <class... T>
  explicit Payload(const T&... values) : Payload(Sized{retinue::detail::payload_size(values...)}) {
    retinue::detail::write_payload(data_, size_, values...);
  }
  explicit Payload(const std::vector<std::byte>& bytes) : Payload(Sized{bytes.size()}) {
    if (size_ != 0) std::memcpy(data_, bytes.data(), size_);
  }
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  ~Payload() { ::operator delete(data_, kAlignment); }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  retinue::Reader reader() const { return retinue::Reader(data_, size_); }
  bool contains(const void* p) const { return p >= data_ && p < data_ + size_; }
  std::vector<std::byte> bytes() const { return {data_, data_ + size_}; }

 private:
  static constexpr std::align_val_t kAlignment{retinue::detail::kPayloadAlignment};
  struct Sized {
    std::size_t n;
  };
  explicit Payload(Sized s) : data_(static_cast<std::byte*>(::operator new(s.n, kAlignment))), size_(s.n) {}

  std::byte* data_;
  std::size_t size_;
};

template <class T>
T round_trip(const T& value) {
  const Payload payload(value);
  retinue::Reader r = payload.reader();
  return retinue::detail::read_payload<T>(r);
}

}  // namespace retinue_test
