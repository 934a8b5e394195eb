# Installs a build, moves the installed tree, and makes and runs a program against it: once through
# find_package, once through pkg-config. Arguments, each as -DNAME=value:
#   BUILD  the build tree to install          WORK  a scratch folder, emptied first
#   CXX    the compiler                       LIBDIR  where the tree keeps libraries, such as lib
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed (${result})")
  endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")

# Moved, because an install tree that remembers where it was made works for its maker alone.
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/first")
file(RENAME "${WORK}/first" "${WORK}/tree")
set(ENV{LD_LIBRARY_PATH} "${WORK}/tree/${LIBDIR}")  # used where the library is a shared one

run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}" -B "${WORK}/build" -G Ninja
  -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_PREFIX_PATH=${WORK}/tree")
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/consumer")

set(ENV{PKG_CONFIG_PATH} "${WORK}/tree/${LIBDIR}/pkgconfig")
execute_process(COMMAND pkg-config --cflags --libs retinue
  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND pkg-config --modversion retinue
  OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
run("${CXX}" -std=c++20 "${CMAKE_CURRENT_LIST_DIR}/consumer.cpp" "-DPACKAGE_VERSION=\"${version}\""
  -o "${WORK}/by_pkg_config" ${flags})
run("${WORK}/by_pkg_config")
