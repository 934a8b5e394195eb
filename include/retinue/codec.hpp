// How C++ values become the bytes of a payload, and how to teach a type of your own to.
//
// Most types need nothing: numbers, enums, trivially copyable types without pointers, the standard
// containers, string, optional, variant, tuple, pair, unique_ptr, chrono, path, function pointers,
// closures that captured such values trivially, and plain aggregates of all these (up to 32 fields,
// no base classes). Raw pointers, references, shared_ptr, std::function and types that hide their
// state do not travel: using one is a compile-time error that names it.
//
// Owner and workers are the same program, so there is no schema and no byte order to agree on. Every
// read is checked all the same, since a worker may have damaged its memory before it died.
//
// Thread-safety: encoding and decoding touch only their own arguments; any number of threads may do
// so at once, each with its own writer or reader.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <retinue/detail/codec/aggregate.hpp>
#include <retinue/detail/codec/bitwise.hpp>
#include <retinue/detail/codec/containers.hpp>
#include <retinue/detail/codec/encoding.hpp>
#include <retinue/detail/codec/functions.hpp>
#include <retinue/detail/codec/ranges.hpp>
#include <retinue/detail/codec/values.hpp>
#include <retinue/error.hpp>
#include <retinue/reader.hpp>
#include <retinue/writer.hpp>

namespace retinue {

/// A type that can be an argument, a capture or a result of a task.
///
///     static_assert(retinue::Travels<std::map<std::string, std::vector<double>>>);
///     static_assert(!retinue::Travels<int*>);
template <class T>
concept Travels = std::is_object_v<T> && !std::is_array_v<T> && detail::travels<std::remove_cv_t<T>>();

/// The customisation point. Specialise it before the type is first used with a pool:
///
///     template <>
///     struct retinue::Codec<geo::Polygon> {
///       template <class W>
///       static void write(W& w, const geo::Polygon& p) { w(p.name(), p.corners()); }
///       static geo::Polygon read(retinue::Reader& r) {
///         auto name = r.value<std::string>();
///         return geo::Polygon(std::move(name), r.value<std::vector<geo::Point>>());
///       }
///     };
///
/// `write` may ask `w.shares_memory()`: true if the reader has this process's shared memory, so that the name of a block
/// (a SharedSpan) will do, false if it needs the content. It is called twice, to count and to write, and must write the
/// same both times. `read` must check what it depends on and throw CodecError: its bytes may be damaged. A Codec
/// comes before everything Retinue would do by itself. Types with a cereal-style `serialize` need none: include
/// <retinue/cereal.hpp>.
template <class T>
struct Codec;

}  // namespace retinue
