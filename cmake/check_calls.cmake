# cmake -DROOT=<source tree> -P check_calls.cmake
# Every system call goes through src/system/calls.cpp, where a test can make it fail. What is left out is listed in
# src/system/fault.hpp.
cmake_minimum_required(VERSION 3.25)
set(calls "openat|pread|pwrite|readv|writev|fcntl|fstat|lstat|ftruncate|fallocate|memfd_create|eventfd|signalfd|timerfd_create|epoll_create1|epoll_ctl|epoll_wait|ppoll|pipe2?|dup[23]?|getdents64|opendir|mmap|mremap|mprotect|madvise|msync|v?fork|clone|execve?|execv|execvp|kill|tgkill|waitpid|waitid|wait4|prctl|sched_setaffinity|sched_getaffinity|sigaction|sigaltstack|sigprocmask|pthread_sigmask|pthread_create|setrlimit|setgroups|setresgid|setresuid|fchmod|socket|connect|accept4?|fopen")
# These are also names of members.
set(ambiguous "open|read|write|poll|syscall")
set(streams "std::(i|o)?fstream|std::j?thread [a-z_]+[({]|std::(j)?thread[({]")

file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/src/*.cpp" "${ROOT}/src/*.hpp" "${ROOT}/include/retinue/detail/*.hpp")
list(REMOVE_ITEM files src/system/calls.cpp src/system/calls.hpp src/system/thread_start.hpp)
list(LENGTH files checked)
set(violations "")
foreach(file IN LISTS files)
  file(READ "${ROOT}/${file}" text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REGEX REPLACE "[\\[\\];]" " " text "${text}")
  string(REGEX MATCHALL "(^|[^A-Za-z0-9_:.>\"])(${calls})\\(|(^|[^A-Za-z0-9_>])::(${calls}|${ambiguous})\\([^\n]*|${streams}" found "${text}")
  # Neither the wake of a futex nor the number of a thread can fail.
  list(FILTER found EXCLUDE REGEX "syscall\\(SYS_(gettid|futex, reinterpret_cast<std::uint32_t.>\\(&word\\), FUTEX_WAKE)")
  foreach(call IN LISTS found)
    string(STRIP "${call}" call)
    list(APPEND violations "${file}: ${call}")
  endforeach()
endforeach()
if(violations)
  list(JOIN violations "\n  " violations)
  message(FATAL_ERROR "System calls beside src/system/calls.hpp, which no test can make fail:\n  ${violations}")
endif()
if(checked LESS 50)
  message(FATAL_ERROR "only ${checked} files found below ${ROOT}")
endif()
message(STATUS "${checked} files make their system calls through src/system/calls.hpp")
