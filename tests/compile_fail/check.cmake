# Checks that a program does not compile, and says what it should:
#
#   cmake -DCXX=g++ "-DFLAGS=-std=c++20;-I$PWD/include" -DSOURCE=pointer_argument.cpp -P check.cmake
#
# The source names what the compiler must print, in one or more lines `// EXPECT: regular expression`.
# Its twin, compiled with RETINUE_MUST_COMPILE defined, must compile: so that the source fails for the
# reason it names and not for a missing header.
foreach(needed CXX SOURCE)
  if(NOT DEFINED ${needed})
    message(FATAL_ERROR "${needed} is not given")
  endif()
endforeach()
if(NOT DEFINED FLAGS)
  set(FLAGS "-std=c++20")
endif()

file(STRINGS "${SOURCE}" expectations REGEX "^// EXPECT: ")
if(NOT expectations)
  message(FATAL_ERROR "${SOURCE} has no line `// EXPECT: ...`")
endif()

execute_process(COMMAND "${CXX}" ${FLAGS} -fsyntax-only -DRETINUE_MUST_COMPILE "${SOURCE}"
  RESULT_VARIABLE result ERROR_VARIABLE output OUTPUT_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "the twin of ${SOURCE} must compile, and does not:\n${output}")
endif()

execute_process(COMMAND "${CXX}" ${FLAGS} -fsyntax-only "${SOURCE}"
  RESULT_VARIABLE result ERROR_VARIABLE output OUTPUT_VARIABLE output)
if(result EQUAL 0)
  message(FATAL_ERROR "${SOURCE} must not compile, and does")
endif()
foreach(expectation IN LISTS expectations)
  string(REGEX REPLACE "^// EXPECT: " "" regex "${expectation}")
  if(NOT output MATCHES "${regex}")
    message(FATAL_ERROR "${SOURCE} does not compile, but the compiler does not say `${regex}`:\n${output}")
  endif()
endforeach()
