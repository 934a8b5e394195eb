# cmake -DPROGRAM=... "-DARGUMENTS=--seed x" -DSTATUS=2 "-DOUT=regular expression" "-DERR=..." -P check.cmake
# Runs PROGRAM, which must end with STATUS. What it writes to stdout must match OUT, to stderr ERR; where one of them is
# not given, it must write nothing there.
cmake_minimum_required(VERSION 3.25)

separate_arguments(arguments UNIX_COMMAND "${ARGUMENTS}")
execute_process(COMMAND "${PROGRAM}" ${arguments} RESULT_VARIABLE status OUTPUT_VARIABLE written_OUT ERROR_VARIABLE written_ERR
  TIMEOUT 60)
set(wrong "")
if(NOT status STREQUAL STATUS)
  string(APPEND wrong "ended with ${status} instead of ${STATUS}\n")
endif()
foreach(stream IN ITEMS OUT ERR)
  if("${${stream}}" STREQUAL "" AND NOT written_${stream} STREQUAL "")
    string(APPEND wrong "writes to std${stream}\n")
  elseif(NOT written_${stream} MATCHES "${${stream}}")
    string(APPEND wrong "does not write `${${stream}}` to std${stream}\n")
  endif()
endforeach()
if(wrong)
  message(FATAL_ERROR "${PROGRAM} ${ARGUMENTS}\n${wrong}stdout: ${written_OUT}\nstderr: ${written_ERR}")
endif()
