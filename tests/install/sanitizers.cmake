# Installs a build, and runs a user's program with sanitizers against its library, which has none: nothing is reported that is
# no fault, and what is one is reported. Arguments, each as -DNAME=value:
#   BUILD  the build tree to install     WORK  a scratch folder, emptied first
#   CXX    compilers, separated by |; those that are not there, or lack a sanitizer's runtime, are left out
#   LIBDIR, DATADIR  where the tree keeps libraries and data, such as lib and share
cmake_minimum_required(VERSION 3.25)
set(flag_threads -fsanitize=thread -DRETINUE_TEST_THREADS)
set(wrong_threads race)
set(says_race "ThreadSanitizer: data race")
set(flag_memory -fsanitize=address,undefined)
set(wrong_memory overrun overflow)
set(says_overrun "AddressSanitizer: heap-buffer-overflow")
set(says_overflow "runtime error: signed integer overflow")

# Those of the test, which are for this project's own builds.
foreach(name IN ITEMS ASAN TSAN UBSAN)
  unset(ENV{${name}_OPTIONS})
endforeach()

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/tree" OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
set(ENV{LD_LIBRARY_PATH} "${WORK}/tree/${LIBDIR}")
set(ENV{PKG_CONFIG_PATH} "${WORK}/tree/${LIBDIR}/pkgconfig")
execute_process(COMMAND pkg-config --cflags --libs retinue
  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
set(ENV{TSAN_OPTIONS} "suppressions=${WORK}/tree/${DATADIR}/retinue/tsan.txt")
set(ENV{UBSAN_OPTIONS} "print_stacktrace=1")

file(WRITE "${WORK}/empty.cpp" "int main() {}\n")
string(REPLACE "|" ";" compilers "${CXX}")
set(done "")
foreach(compiler IN LISTS compilers)
  foreach(kind IN ITEMS threads memory)
    set(name "${compiler} ${flag_${kind}}")
    set(program "${WORK}/program")
    execute_process(COMMAND "${compiler}" ${flag_${kind}} "${WORK}/empty.cpp" -o "${program}"
      RESULT_VARIABLE missing OUTPUT_QUIET ERROR_QUIET)
    if(missing)
      continue()
    endif()
    execute_process(COMMAND "${compiler}" -std=c++20 -O1 -g1 ${flag_${kind}}
      "${CMAKE_CURRENT_LIST_DIR}/sanitized.cpp" -o "${program}" ${flags} COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND "${program}" RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 60)
    if(NOT result EQUAL 0 OR output MATCHES "Sanitizer|runtime error" OR NOT output MATCHES "all is right")
      message(FATAL_ERROR "${name}: a program without a fault (${result}):\n${output}")
    endif()
    foreach(wrong IN LISTS wrong_${kind})
      execute_process(COMMAND "${program}" ${wrong} OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 60)
      if(NOT output MATCHES "${says_${wrong}}")
        message(FATAL_ERROR "${name}: ${wrong} is not reported:\n${output}")
      endif()
    endforeach()
    list(APPEND done "${name}")
  endforeach()
endforeach()
if(NOT done)
  message(FATAL_ERROR "no compiler of ${CXX} has a sanitizer")
endif()
list(JOIN done ", " done)
message(STATUS "${done}")
