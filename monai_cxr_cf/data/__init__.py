# SPDX-License-Identifier: Apache-2.0
"""Folders of radiographs in, typed rows and arrays out; no image ships with the package."""
