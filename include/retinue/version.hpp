// Which Retinue this is. The number stands here and nowhere else: CMake and the Python package read it from these lines.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <string_view>

#define RETINUE_VERSION_MAJOR 0
#define RETINUE_VERSION_MINOR 1
#define RETINUE_VERSION_PATCH 0

#define RETINUE_DETAIL_JOIN(major, minor, patch) #major "." #minor "." #patch
#define RETINUE_DETAIL_VERSION(major, minor, patch) RETINUE_DETAIL_JOIN(major, minor, patch)
/// The version of these headers as a string literal, such as "0.1.0".
#define RETINUE_VERSION RETINUE_DETAIL_VERSION(RETINUE_VERSION_MAJOR, RETINUE_VERSION_MINOR, RETINUE_VERSION_PATCH)

namespace retinue {

/// The version of the library that the program has linked, in the form of RETINUE_VERSION. The two differ where a program
/// was compiled with the headers of one version and runs with the shared library of another. Never throws; any thread and
/// any process may call it; what it returns lasts as long as the program.
///
///     if (retinue::version() != RETINUE_VERSION) throw std::runtime_error("built with Retinue " RETINUE_VERSION);
std::string_view version() noexcept;

}  // namespace retinue
