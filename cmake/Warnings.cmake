# Warnings for the project's own targets; errors only where RETINUE_WERROR asks for it.
# GCC 12 and 13 see overlapping copies in plain additions of strings (GCC bug 105651): -Wno-restrict.
function(retinue_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
    -Wold-style-cast -Wcast-align -Wimplicit-fallthrough -Wundef
    $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op>
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,14>>:-Wno-restrict>
    $<$<BOOL:${RETINUE_WERROR}>:-Werror>)
endfunction()
