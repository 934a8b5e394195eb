// A view inside a result would look into the worker's memory.
// EXPECT: it holds a string_view or a span
// EXPECT: ResultIsAView<.*basic_string_view<char
#include <retinue/detail/codec/call_traits.hpp>

#include <string>
#include <string_view>
#include <vector>

#ifdef RETINUE_MUST_COMPILE
std::vector<std::string> words(std::string_view text) { return {std::string(text)}; }
#else
std::vector<std::string_view> words(std::string_view text) { return {text}; }
#endif

bool checked = retinue::detail::Call<decltype(&words), std::string>::check();
