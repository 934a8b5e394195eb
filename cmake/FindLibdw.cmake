# Finds elfutils' libdw, which names the frames of a crashed worker's stack. Defines Libdw::Libdw.
# Installed beside retinueConfig.cmake: programs that link the static library need it too.
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(PC_LIBDW QUIET libdw)
endif()

find_path(Libdw_INCLUDE_DIR elfutils/libdwfl.h HINTS ${PC_LIBDW_INCLUDE_DIRS})
find_library(Libdw_LIBRARY dw HINTS ${PC_LIBDW_LIBRARY_DIRS})
mark_as_advanced(Libdw_INCLUDE_DIR Libdw_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libdw
  REQUIRED_VARS Libdw_LIBRARY Libdw_INCLUDE_DIR
  VERSION_VAR PC_LIBDW_VERSION
  REASON_FAILURE_MESSAGE "on Debian and Ubuntu: apt install libdw-dev")

if(Libdw_FOUND AND NOT TARGET Libdw::Libdw)
  add_library(Libdw::Libdw UNKNOWN IMPORTED)
  set_target_properties(Libdw::Libdw PROPERTIES
    IMPORTED_LOCATION "${Libdw_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${Libdw_INCLUDE_DIR}")
endif()
