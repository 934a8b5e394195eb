# Sources that are compiled together: most of the time for one goes into the headers, which they share.

# retinue_gather(RESULT NAME COUNT FOLDER SOURCE...): spreads the SOURCEs, which lie below FOLDER, over COUNT sources that
# include them, and names those in RESULT. FOLDER has to be an include directory of the target. A source stays where it
# is when others come, for its place follows from its name; and neither names nor texts depend on where the tree lies, so
# that ccache knows them again.
function(retinue_gather result name count folder)
  foreach(source IN LISTS ARGN)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY "${folder}" OUTPUT_VARIABLE path)
    string(MD5 sum "${path}")
    string(SUBSTRING "${sum}" 0 4 sum)
    math(EXPR place "0x${sum} % ${count}")
    string(APPEND text_${place} "#include \"${path}\"\n")
  endforeach()
  set(gathered "")
  math(EXPR last "${count} - 1")
  foreach(place RANGE ${last})
    if(DEFINED text_${place})
      set(file "${CMAKE_CURRENT_BINARY_DIR}/gathered/${name}_${place}.cpp")
      file(CONFIGURE OUTPUT "${file}" CONTENT "${text_${place}}" @ONLY)
      list(APPEND gathered "${file}")
    endif()
  endforeach()
  set(${result} "${gathered}" PARENT_SCOPE)
endfunction()
