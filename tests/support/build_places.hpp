// Where this tree and what was built of it lie, and as which version. Asked for at run time, so that the objects of tests
// are the same wherever a clone lies, and ccache has them.
#pragma once

#include <string>

namespace retinue_test {

/// The top of the source tree.
std::string source_folder();

/// The path of a program that stands beside the tests, such as "terminal_program".
std::string built_program(const std::string& name);

/// The project's version as CMake has it, such as "0.1.0": the package that is installed is called so.
std::string built_version();

}  // namespace retinue_test
