# `cmake --install`: the library, its headers, and what find_package(retinue) and pkg-config read.
include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/retinue")

install(TARGETS retinue EXPORT retinueTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILE_SET detail DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(EXPORT retinueTargets NAMESPACE retinue:: DESTINATION "${package_dir}")

get_target_property(retinue_type retinue TYPE)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/retinueConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/retinueConfig.cmake" INSTALL_DESTINATION "${package_dir}")
# While the major version is 0, a minor version may break: 0.1 serves 0.1 alone.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/retinueConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/retinueConfig.cmake"
  "${PROJECT_BINARY_DIR}/retinueConfigVersion.cmake"
  "${CMAKE_CURRENT_LIST_DIR}/FindLibdw.cmake"
  DESTINATION "${package_dir}")

# A static library hands its own needs on to whoever links it; a shared one has them inside.
set(pc_requires "")
if(retinue_type STREQUAL "STATIC_LIBRARY" AND retinue_has_libdw)
  set(pc_requires "libdw")
endif()
# The .pc file finds its prefix from where it lies, so an installed tree may be moved.
file(RELATIVE_PATH pc_prefix "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file("${CMAKE_CURRENT_LIST_DIR}/retinue.pc.in" "${PROJECT_BINARY_DIR}/retinue.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/retinue.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

# What the thread sanitizer of a user's program is not to report.
install(FILES "${PROJECT_SOURCE_DIR}/tests/suppressions/tsan.txt" DESTINATION "${CMAKE_INSTALL_DATADIR}/retinue")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
