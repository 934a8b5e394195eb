# What every ctest entry of the project has in common, whichever folder it comes from.

# No test can hang: each has a deadline. Sanitizers slow a program down several times over.
set(RETINUE_TEST_TIMEOUT 60 CACHE STRING "Seconds that one test may take, before the sanitizers' factor")
set(factor 1)
if(RETINUE_SANITIZE MATCHES "thread")
  set(factor 5)
elseif(RETINUE_SANITIZE)
  set(factor 3)
endif()
math(EXPR retinue_test_seconds "${RETINUE_TEST_TIMEOUT} * ${factor}")

# Tests fork, and some children leave by _exit or by a signal: that is no report. die_after_fork=0
# lets the thread sanitizer go on in the child of a process that has threads.
set(retinue_test_environment
  "RETINUE_TEST_TIME_FACTOR=${factor}"
  "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:allocator_may_return_null=1"
  "UBSAN_OPTIONS=print_stacktrace=1"
  "TSAN_OPTIONS=die_after_fork=0:halt_on_error=1:second_deadlock_stack=1:suppressions='${PROJECT_SOURCE_DIR}/tests/suppressions/tsan.txt'")

# True in `result` if the text of `file` matches `pattern`; the file becomes a configure dependency,
# so that what is derived from its text stays right when it is edited.
function(retinue_file_matches result file pattern)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  file(STRINGS "${file}" hits REGEX "${pattern}" LIMIT_COUNT 1)
  set(${result} FALSE PARENT_SCOPE)
  if(hits)
    set(${result} TRUE PARENT_SCOPE)
  endif()
endfunction()

# A source whose tests start processes: their labels let `ctest -L process` pick them.
set(retinue_process_pattern "retinue/(retinue|process_pool|map)\\.hpp|[^a-z_]v?fork\\(|ForkServer")

# Gives plain add_test entries their deadline, environment and labels.
function(retinue_test_properties)
  cmake_parse_arguments(arg "" "" "TESTS;LABELS" ${ARGN})
  set_tests_properties(${arg_TESTS} PROPERTIES
    TIMEOUT ${retinue_test_seconds}
    ENVIRONMENT "${retinue_test_environment}"
    LABELS "${arg_LABELS}")
endfunction()
