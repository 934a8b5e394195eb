# RETINUE_SANITIZE instruments everything that is built here, so that one report names one fault:
# the first one ends the program.
if(RETINUE_SANITIZE)
  add_compile_options(-fsanitize=${RETINUE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
  # The check of vtables opens a pipe to see what may be read, so it finds faults in tests that run out
  # of descriptors; and GCC 12's is wrong about member function pointers of a second base.
  add_compile_options(-fno-sanitize=vptr)
  # The thread sanitizer does not see fences, and GCC warns of each. Ours order atomics against one another,
  # never plain memory, so no report can come of it.
  if(RETINUE_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-Wno-tsan)
  endif()
  add_link_options(-fsanitize=${RETINUE_SANITIZE})
endif()
# libstdc++'s own bounds checks: cheap, and in every build that is not for speed.
add_compile_definitions($<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
