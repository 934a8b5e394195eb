#include "fuzz/memory_limit.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t kNoLimit = SIZE_MAX;
constinit thread_local std::size_t left = kNoLimit;

}  // namespace

// All of them, in pairs: the sanitizers bring their own of those that are not replaced. What is allocated is
// still malloc's, so the address sanitizer sees it.
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  if (left != kNoLimit) {
    if (n > left) {
      left = kNoLimit;
      std::fprintf(stderr, "decoding asks for memory out of proportion to the input (%zu bytes now)\n", n);
      std::abort();
    }
    left -= n;
  }
  return std::malloc(n == 0 ? 1 : n);
}
void* operator new(std::size_t n) {
  void* p = operator new(n, std::nothrow);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void* operator new[](std::size_t n) { return operator new(n); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return operator new(n, std::nothrow); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }

namespace retinue_fuzz {

MemoryLimit::MemoryLimit(std::size_t bytes) noexcept { left = bytes; }
MemoryLimit::~MemoryLimit() { left = kNoLimit; }

}  // namespace retinue_fuzz
