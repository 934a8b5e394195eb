// Recognising and calling what a type offers to cereal, with or without cereal itself.
#pragma once

#include <retinue/codec.hpp>

#include <cstdint>
#include <type_traits>

// Declared as cereal declares them; they are looked into only where cereal has defined them.
namespace cereal {
class access;
namespace detail {
namespace {
struct version_binding_tag;
}
template <class T, class Tag>
struct Version;
}  // namespace detail
}  // namespace cereal

namespace retinue::detail::cereal_style {

// Each concept is one way to write a serialisation function: as a member or free, with the class
// version as a second parameter or without, public or for cereal::access only.
template <class A, class T>
concept MemberSerialize = requires(A& a, T& t) { t.serialize(a); };
template <class A, class T>
concept MemberSerializeV = requires(A& a, T& t, std::uint32_t v) { t.serialize(a, v); };
template <class A, class T, class Access>
concept PrivateSerialize = requires(A& a, T& t) { Access::member_serialize(a, t); };
template <class A, class T, class Access>
concept PrivateSerializeV = requires(A& a, T& t, std::uint32_t v) { Access::member_serialize(a, t, v); };
template <class A, class T>
concept FreeSerialize = requires(A& a, T& t) { serialize(a, t); };
template <class A, class T>
concept FreeSerializeV = requires(A& a, T& t, std::uint32_t v) { serialize(a, t, v); };

template <class A, class T>
concept MemberSave = requires(A& a, const T& t) { t.save(a); };
template <class A, class T>
concept MemberSaveV = requires(A& a, const T& t, std::uint32_t v) { t.save(a, v); };
template <class A, class T, class Access>
concept PrivateSave = requires(A& a, const T& t) { Access::member_save(a, t); };
template <class A, class T, class Access>
concept PrivateSaveV = requires(A& a, const T& t, std::uint32_t v) { Access::member_save(a, t, v); };
template <class A, class T>
concept FreeSave = requires(A& a, const T& t) { save(a, t); };
template <class A, class T>
concept FreeSaveV = requires(A& a, const T& t, std::uint32_t v) { save(a, t, v); };

template <class A, class T>
concept MemberLoad = requires(A& a, T& t) { t.load(a); };
template <class A, class T>
concept MemberLoadV = requires(A& a, T& t, std::uint32_t v) { t.load(a, v); };
template <class A, class T, class Access>
concept PrivateLoad = requires(A& a, T& t) { Access::member_load(a, t); };
template <class A, class T, class Access>
concept PrivateLoadV = requires(A& a, T& t, std::uint32_t v) { Access::member_load(a, t, v); };
template <class A, class T>
concept FreeLoad = requires(A& a, T& t) { load(a, t); };
template <class A, class T>
concept FreeLoadV = requires(A& a, T& t, std::uint32_t v) { load(a, t, v); };

template <class A, class T>
concept Serializes = MemberSerialize<A, T> || MemberSerializeV<A, T> || PrivateSerialize<A, T, ::cereal::access> ||
                     PrivateSerializeV<A, T, ::cereal::access> || FreeSerialize<A, T> || FreeSerializeV<A, T>;
template <class A, class T>
concept Saves = MemberSave<A, T> || MemberSaveV<A, T> || PrivateSave<A, T, ::cereal::access> ||
                PrivateSaveV<A, T, ::cereal::access> || FreeSave<A, T> || FreeSaveV<A, T>;
template <class A, class T>
concept Loads = MemberLoad<A, T> || MemberLoadV<A, T> || PrivateLoad<A, T, ::cereal::access> ||
                PrivateLoadV<A, T, ::cereal::access> || FreeLoad<A, T> || FreeLoadV<A, T>;

template <class Version>
concept VersionKnown = requires { Version::version; };

/// What CEREAL_CLASS_VERSION said, else 0, as with cereal.
template <class T>
std::uint32_t version_of() {
  using Version = ::cereal::detail::Version<T, ::cereal::detail::version_binding_tag>;
  if constexpr (VersionKnown<Version>) return Version::version;
  else return 0;
}

template <class A, class T, class Access = ::cereal::access>
void call_serialize(A& a, T& t) {
  if constexpr (MemberSerialize<A, T>) t.serialize(a);
  else if constexpr (MemberSerializeV<A, T>) t.serialize(a, version_of<T>());
  else if constexpr (PrivateSerialize<A, T, Access>) Access::member_serialize(a, t);
  else if constexpr (PrivateSerializeV<A, T, Access>) Access::member_serialize(a, t, version_of<T>());
  else if constexpr (FreeSerialize<A, T>) serialize(a, t);
  else serialize(a, t, version_of<T>());
}

template <class A, class T, class Access = ::cereal::access>
void call_save(A& a, const T& t) {
  if constexpr (MemberSave<A, T>) t.save(a);
  else if constexpr (MemberSaveV<A, T>) t.save(a, version_of<T>());
  else if constexpr (PrivateSave<A, T, Access>) Access::member_save(a, t);
  else if constexpr (PrivateSaveV<A, T, Access>) Access::member_save(a, t, version_of<T>());
  else if constexpr (FreeSave<A, T>) save(a, t);
  else save(a, t, version_of<T>());
}

template <class A, class T, class Access = ::cereal::access>
void call_load(A& a, T& t) {
  if constexpr (MemberLoad<A, T>) t.load(a);
  else if constexpr (MemberLoadV<A, T>) t.load(a, version_of<T>());
  else if constexpr (PrivateLoad<A, T, Access>) Access::member_load(a, t);
  else if constexpr (PrivateLoadV<A, T, Access>) Access::member_load(a, t, version_of<T>());
  else if constexpr (FreeLoad<A, T>) load(a, t);
  else load(a, t, version_of<T>());
}

}  // namespace retinue::detail::cereal_style
