# retinue_command_line: what a program of ours with options links, under apps/ or tests/. The library does not.
find_package(CLI11 2.1 CONFIG QUIET)
if(NOT CLI11_FOUND)
  message(FATAL_ERROR "CLI11, which reads the command lines of the programs under apps/ and tests/, is not installed. "
    "`scripts/setup` installs it; by hand, on Debian and Ubuntu: apt install libcli11-dev. "
    "The library needs none: -DRETINUE_BUILD_TESTS=OFF -DRETINUE_BUILD_EXAMPLES=OFF")
endif()
add_library(retinue_command_line INTERFACE)
target_include_directories(retinue_command_line INTERFACE "${PROJECT_SOURCE_DIR}/apps")
target_link_libraries(retinue_command_line INTERFACE CLI11::CLI11)
