# SPDX-License-Identifier: Apache-2.0
"""Pairs of radiographs that differ in one finding, made by a program."""
