// A class that hides its state needs a Codec, and the error says so.
// EXPECT: cannot travel to a worker process
// EXPECT: CannotTravel<Parser
// EXPECT: retinue::Codec
#include <retinue/detail/codec/require.hpp>

#include <string>

class Parser {
 public:
  explicit Parser(std::string grammar) : grammar_(std::move(grammar)) {}
  const std::string& grammar() const { return grammar_; }

 private:
  std::string grammar_;
};

#ifdef RETINUE_MUST_COMPILE
template <>
struct retinue::Codec<Parser> {
  template <class W>
  static void write(W& w, const Parser& p) {
    w(p.grammar());
  }
  static Parser read(Reader& r) { return Parser(r.value<std::string>()); }
};
#endif

void check() { retinue::detail::require_travels<Parser>(); }
