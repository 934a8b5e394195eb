// The exception types that travel without being registered.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <typeinfo>
#include <vector>

namespace retinue::detail {

/// An exception as data: what its bytes hold. A plain aggregate, so the codec carries it.
struct ExceptionImage {
  std::uint32_t magic = 0;
  std::uint32_t kind = 0;             ///< an ImageKind
  std::uint64_t type_address = 0;     ///< of the type_info; tells types of unnamed namespaces apart
  std::string type;                   ///< type_info::name()
  std::string readable_type;          ///< demangled
  std::string message;                ///< what(), or the value thrown
  std::vector<std::string> texts;     ///< further parts, as the type needs
  std::vector<std::int64_t> numbers;  ///< further parts, as the type needs
  std::string payload;                ///< of a registered type
  std::vector<std::uint64_t> frames;  ///< where it was thrown
  std::string inner;                  ///< the image of the exception that it holds (std::nested_exception), or empty
};

enum class ImageKind : std::uint32_t { kRemote, kKnown, kRegistered };

/// How one known type is taken apart (in the worker) and made again (in the owner).
struct KnownException {
  const std::type_info* type;
  /// Adds to an image that has its message; false if this one cannot travel (a foreign error category).
  bool (*save)(const std::exception& thrown, ExceptionImage& image);
  /// Null if the image lacks parts. May throw.
  std::exception_ptr (*make)(const ExceptionImage& image);
};

/// The one for exactly this type, or nullptr.
const KnownException* known_exception(const std::type_info& type) noexcept;
const KnownException* known_exception(const std::string& type_name) noexcept;

}  // namespace retinue::detail
