# Checks that the public headers use no name that a widespread header defines as a macro: Qt's keywords, those of X11, of
# <sys/sysmacros.h>, <complex.h>, gettext, of test and logging libraries, and of Windows for who builds for both.
#
#   cmake -DCXX=g++ -DINCLUDE=$PWD/include -DWORK=/tmp/scratch -P macros.cmake
#
# CXX: the compiler; INCLUDE: the folder with retinue/; WORK: a scratch folder.
cmake_minimum_required(VERSION 3.25)
set(names slots signals emit foreach forever
  Bool Status True False None Success Always Above Below Complex Unsorted Convex
  major minor makedev linux unix I _ N_ interface near far IN OUT ERROR DELETE TRUE FALSE OK
  CHECK REQUIRE INFO WARNING FATAL FAIL LOG VLOG EXPECT ASSERT assert)
set(functions min max)

file(GLOB public RELATIVE "${INCLUDE}" "${INCLUDE}/retinue/*.hpp")
file(GLOB_RECURSE all RELATIVE "${INCLUDE}" "${INCLUDE}/retinue/*.hpp")
# What others' headers make of such macros is not ours to mend: they are read before.
set(others "")
foreach(header IN LISTS all)
  file(STRINGS "${INCLUDE}/${header}" lines REGEX "^#include <[^>]+>")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^#include <([^>]+)>.*" "\\1" name "${line}")
    if(NOT name MATCHES "^retinue/")
      list(APPEND others "${name}")
    endif()
  endforeach()
endforeach()
list(REMOVE_DUPLICATES others)
set(text "")
foreach(name IN LISTS others)
  string(APPEND text "#if __has_include(<${name}>)\n#include <${name}>\n#endif\n")
endforeach()
foreach(name IN LISTS names)
  string(APPEND text "#undef ${name}\n#define ${name} @\n")  # which is no C++, wherever it stands
endforeach()
foreach(name IN LISTS functions)
  string(APPEND text "#define ${name}(a, b) @\n")
endforeach()
foreach(header IN LISTS public)
  if(header MATCHES "/cereal\\.hpp$")
    string(APPEND text "#if __has_include(<cereal/cereal.hpp>)\n#include <${header}>\n#endif\n")
  else()
    string(APPEND text "#include <${header}>\n")
  endif()
endforeach()
file(WRITE "${WORK}/macros.cpp" "${text}")
execute_process(COMMAND "${CXX}" -std=c++20 "-I${INCLUDE}" -fsyntax-only "${WORK}/macros.cpp"
  RESULT_VARIABLE result ERROR_VARIABLE output OUTPUT_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "a public header uses a name that others define as a macro:\n${output}")
endif()
list(LENGTH public count)
message(STATUS "${count} public headers use no such name")
