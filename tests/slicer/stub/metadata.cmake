# SPDX-License-Identifier: Apache-2.0
# Stands for SlicerExtensionGenerateConfig.cmake: writes the extension's description down.
foreach(stub_name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  file(APPEND "${CMAKE_BINARY_DIR}/metadata.txt" "${stub_name}=${EXTENSION_${stub_name}}\n")
endforeach()
