// What a program has to be compiled with. Each public header includes this one before anything else, so that a program
// compiled without it is refused in one line, and not in hundreds from the middle of the standard library.
#pragma once

#if !defined(__cplusplus) || __cplusplus < 202002L
#error "Retinue needs C++20: compile with -std=c++20 or newer"
#include <retinue/the_error_above_ends_this_compilation>
#elif !defined(__cpp_exceptions)
#error "Retinue reports errors by exceptions, those of workers too: compile without -fno-exceptions"
#include <retinue/the_error_above_ends_this_compilation>
#elif !defined(__cpp_rtti)
#error "Retinue names the types of exceptions by RTTI: compile without -fno-rtti"
#include <retinue/the_error_above_ends_this_compilation>
#endif
