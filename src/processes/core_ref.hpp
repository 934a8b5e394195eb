// Who holds a pool.
#pragma once

#include <utility>

namespace retinue::detail {

class PoolCore;

/// The owner's side of a pool, counted; see pool_core.hpp.
void add_ref(PoolCore& core) noexcept;
void release(PoolCore& core) noexcept;

/// A counted pointer to a PoolCore, where its definition is not known.
class CoreRef {
 public:
  CoreRef() = default;
  explicit CoreRef(PoolCore* owned) noexcept : core_(owned) {}
  CoreRef(const CoreRef& o) noexcept : core_(o.core_) {
    if (core_ != nullptr) add_ref(*core_);
  }
  CoreRef(CoreRef&& o) noexcept : core_(std::exchange(o.core_, nullptr)) {}
  CoreRef& operator=(CoreRef o) noexcept {
    std::swap(core_, o.core_);
    return *this;
  }
  ~CoreRef() {
    if (core_ != nullptr) release(*core_);
  }
  PoolCore& operator*() const noexcept { return *core_; }
  PoolCore* operator->() const noexcept { return core_; }
  PoolCore* get() const noexcept { return core_; }

 private:
  PoolCore* core_ = nullptr;
};

}  // namespace retinue::detail
