// The error names the part that is at fault and the type it was found in.
// EXPECT: cannot travel to a worker process
// EXPECT: CannotTravel<Account ?\*
// EXPECT: map<int, (class )?(std::__cxx11::|std::)?vector<Account
#include <retinue/detail/codec/require.hpp>

#include <map>
#include <vector>

struct Account {
  int balance;
};

#ifdef RETINUE_MUST_COMPILE
using Value = std::map<int, std::vector<Account>>;
#else
using Value = std::map<int, std::vector<Account*>>;
#endif

void check() { retinue::detail::require_travels<Value>(); }
