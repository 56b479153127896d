# SPDX-License-Identifier: Apache-2.0
# Stands for the SlicerConfig.cmake of a Slicer build tree: the macros that the extension calls, as
# far as "which files are installed" and "what is registered" go. They write down what they get.
set(Slicer_FOUND TRUE)
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/metadata.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/nothing.cmake")
set(Slicer_SCRIPTS "lib/Slicer-5.12/qt-scripted-modules")

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(STUB "WITH_GENERIC_TESTS;WITH_SUBDIR" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(STUB_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${STUB_UNPARSED_ARGUMENTS}")
  endif()
  foreach(stub_file ${STUB_SCRIPTS} ${STUB_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${stub_file}")
      message(FATAL_ERROR "listed, but not there: ${stub_file}")
    endif()
    get_filename_component(stub_folder "${stub_file}" DIRECTORY)
    install(FILES "${stub_file}" DESTINATION "${Slicer_SCRIPTS}/${stub_folder}")
  endforeach()
endmacro()

function(slicer_add_python_unittest)
  cmake_parse_arguments(STUB "" "SCRIPT" "" ${ARGN})
  file(APPEND "${CMAKE_BINARY_DIR}/tests.txt" "${STUB_SCRIPT}\n")
endfunction()
