# SPDX-License-Identifier: Apache-2.0
"""Nodes and views: the radiograph, what a run brings in, the comparison, calls of Slicer."""
