# Checks that each public header refuses a program that is compiled without what Retinue needs, in one line:
#
#   cmake -DCXX=g++ -DINCLUDE=$PWD/include -DWORK=/tmp/scratch -P requirements.cmake
#
# CXX: the compiler; INCLUDE: the folder with retinue/; WORK: a scratch folder.
cmake_minimum_required(VERSION 3.25)
set(flags_cxx17 -std=c++17)
set(says_cxx17 "Retinue needs C\\+\\+20: compile with -std=c\\+\\+20 or newer")
set(flags_no_exceptions -std=c++20 -fno-exceptions)
set(says_no_exceptions "Retinue reports errors by exceptions, those of workers too: compile without -fno-exceptions")
set(flags_no_rtti -std=c++20 -fno-rtti)
set(says_no_rtti "Retinue names the types of exceptions by RTTI: compile without -fno-rtti")

file(GLOB headers RELATIVE "${INCLUDE}" "${INCLUDE}/retinue/*.hpp")
list(LENGTH headers count)
if(count LESS 20)
  message(FATAL_ERROR "only ${count} public headers below ${INCLUDE}")
endif()
foreach(header IN LISTS headers)
  cmake_path(GET header STEM name)
  set(source "${WORK}/${name}.cpp")
  file(WRITE "${source}" "#include <${header}>\n")
  foreach(without IN ITEMS cxx17 no_exceptions no_rtti)
    execute_process(COMMAND "${CXX}" ${flags_${without}} "-I${INCLUDE}" -fsyntax-only "${source}"
      RESULT_VARIABLE result ERROR_VARIABLE output OUTPUT_QUIET)
    if(result EQUAL 0)
      message(FATAL_ERROR "${header} compiles with ${flags_${without}}")
    endif()
    # The line that says so, and the end of the compilation.
    string(REGEX MATCHALL "[^\n]* error: [^\n]*" errors "${output}")
    list(LENGTH errors lines)
    list(GET errors 0 first)
    if(NOT first MATCHES "${says_${without}}" OR NOT lines EQUAL 2 OR NOT output MATCHES "the_error_above_ends_this_compilation")
      message(FATAL_ERROR "${header} with ${flags_${without}} says more, or something else:\n${output}")
    endif()
  endforeach()
endforeach()
message(STATUS "${count} headers say what they need")
