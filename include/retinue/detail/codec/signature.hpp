// The parameter types of a callable, where it has one signature.
#pragma once

#include <retinue/codec.hpp>

namespace retinue::detail {

/// `kKnown` and, if so, `Parameters`. Unknown for templates, overload sets, C varargs and results of
/// std::bind_front: any argument may go there. For a member function the object comes first, as the
/// marker ObjectOf<C>.
template <class F>
struct SignatureOf;

/// The object a member function is called on: a C, something derived from it, or a unique_ptr to one.
template <class C>
struct ObjectOf {};

struct UnknownSignature {
  static constexpr bool kKnown = false;
};
template <class... P>
struct KnownSignature {
  static constexpr bool kKnown = true;
  using Parameters = TypeList<P...>;
};

template <class F>
struct PlainSignature : UnknownSignature {};
template <class R, class... P>
struct PlainSignature<R(P...)> : KnownSignature<P...> {};
template <class R, class... P>
struct PlainSignature<R(P...) noexcept> : KnownSignature<P...> {};
// The cv- and ref-qualified function types that a call operator on an lvalue can have.
#define RETINUE_SIGNATURE(qualifiers) \
  template <class R, class... P>      \
  struct PlainSignature<R(P...) qualifiers> : KnownSignature<P...> {};
RETINUE_SIGNATURE(const)
RETINUE_SIGNATURE(&)
RETINUE_SIGNATURE(const&)
RETINUE_SIGNATURE(const noexcept)
RETINUE_SIGNATURE(& noexcept)
RETINUE_SIGNATURE(const& noexcept)
#undef RETINUE_SIGNATURE

template <class M>
struct OperatorSignature : PlainSignature<std::remove_pointer_t<M>> {};
template <class M, class C>
struct OperatorSignature<M C::*> : PlainSignature<M> {};

template <class F>
concept OneOperator = requires { &F::operator(); };

template <class F>
struct SignatureOf : UnknownSignature {};
template <OneOperator F>
struct SignatureOf<F> : OperatorSignature<decltype(&F::operator())> {};
template <class M>
  requires std::is_function_v<M>
struct SignatureOf<M*> : PlainSignature<M> {};

template <class C, class Signature>
struct WithObject : UnknownSignature {};
template <class C, class... P>
struct WithObject<C, TypeList<P...>> : KnownSignature<ObjectOf<C>, P...> {};
template <class C, class Signature, bool known = Signature::kKnown>
struct MemberSignature : UnknownSignature {};
template <class C, class Signature>
struct MemberSignature<C, Signature, true> : WithObject<C, typename Signature::Parameters> {};
template <class M, class C>
  requires std::is_function_v<M>
struct SignatureOf<M C::*> : MemberSignature<C, PlainSignature<M>> {};

template <class F>
struct SignatureOf<DeclaredBitwise<F>> : SignatureOf<F> {};

/// What is left of a signature when the first n parameters are bound.
template <std::size_t n, class List>
struct DropFirst : UnknownSignature {};
template <class... P>
struct DropFirst<0, TypeList<P...>> : KnownSignature<P...> {};
template <std::size_t n, class First, class... P>
  requires(n > 0)
struct DropFirst<n, TypeList<First, P...>> : DropFirst<n - 1, TypeList<P...>> {};

template <std::size_t n, class Signature, bool known = Signature::kKnown>
struct RestOfSignature : UnknownSignature {};
template <std::size_t n, class Signature>
struct RestOfSignature<n, Signature, true> : DropFirst<n, typename Signature::Parameters> {};
template <class F, class... Bound>
struct SignatureOf<BoundFront<F, Bound...>> : RestOfSignature<sizeof...(Bound), SignatureOf<F>> {};

}  // namespace retinue::detail
