// What a task throws comes out of get(): as itself where its type is known, else as RemoteError.
#include <retinue/retinue.hpp>

#include <cassert>
#include <iostream>
#include <ranges>
#include <stdexcept>
#include <string>

// Registered: comes back as a ParseError. The line may stand in a header, beside the class.
struct ParseError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline const bool parse_error_travels = retinue::exception_travels<ParseError>;

// Not registered: comes back as RemoteError, with its name, its text and the stack of the throw.
struct OddLength : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int parse(const std::string& text) {
  if (text.size() % 2 != 0) throw OddLength("the text has " + std::to_string(text.size()) + " characters");
  if (text == "12x4") throw ParseError("not a number: " + text);
  return std::stoi(text);  // throws std::invalid_argument
}

template <class E>
bool throws(retinue::Future<int> future) {
  try {
    future.get();
  } catch (const E& e) {
    std::cout << "get() throws: " << e.what() << '\n';
    return true;
  }
  return false;
}

int main() {
  retinue::ProcessPool pool(2);
  assert(pool.submit(parse, "1234").get() == 1234);
  assert(throws<std::invalid_argument>(pool.submit(parse, "word")));  // the standard library's travel
  assert(throws<ParseError>(pool.submit(parse, "12x4")));

  try {
    pool.submit(parse, "123").get();
    assert(false);
  } catch (const retinue::RemoteError& e) {
    std::cout << e.type_name() << ": " << e.message() << '\n' << e.stack();
    assert(e.type_name() == "OddLength" && e.message() == "the text has 3 characters");
  }

  // A map throws when the loop comes to the item that failed; it can go on with the next one.
  auto results = pool.map(parse, std::vector<std::string>{"10", "12x4", "30"});
  int sum = 0, failed = 0;
  for (auto it = results.begin(); it != results.end(); ++it) {
    try {
      sum += *it;
    } catch (const ParseError&) {
      ++failed;
    }
  }
  std::cout << "sum of the others: " << sum << '\n';
  assert(sum == 40 && failed == 1);
}
