// How a stretch of a map's inputs travels: its elements, which are read in place, or where workers find them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <retinue/codec.hpp>
#include <retinue/detail/tasks/stretch.hpp>

namespace retinue::detail {

template <class E>
struct BuiltinCodec<Stretch<E>> {
  static constexpr bool kKnown = true;  // cppcheck-suppress duplInheritedMember ; it has no base
  static constexpr bool kView = true;
  using Parts = TypeList<E>;

  template <class W>
  static void write(W& w, const Stretch<E>& stretch) {
    w.value(stretch.is_shared());
    if (stretch.is_shared()) {
      if (!w.shares_memory()) names_nothing_there();
      w.value(Place{reinterpret_cast<std::uintptr_t>(stretch.data()), stretch.size()});
    } else {
      w.value(std::span<const E>(stretch.data(), stretch.size()));
    }
  }

  static Stretch<E> read(Reader& r) {
    if (r.value<bool>()) {
      const auto place = r.value<Place>();
      return Stretch<E>(reinterpret_cast<const E*>(place.address), static_cast<std::size_t>(place.size));
    }
    if constexpr (kReadInPlace<E> && std::copy_constructible<E>) {
      const std::span<const E> elements = view_run<E>(r);
      return Stretch<E>(elements.data(), elements.size());
    } else {
      return Stretch<E>(r.value<std::vector<E>>());
    }
  }

 private:
  struct Place {
    std::uintptr_t address;
    std::uint64_t size;
  };
};

}  // namespace retinue::detail
