# SPDX-License-Identifier: Apache-2.0
# Stands for Slicer's UseSlicer.cmake and SlicerExtensionCPack.cmake, which need a build of Slicer.
