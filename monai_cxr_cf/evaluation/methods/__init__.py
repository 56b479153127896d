# SPDX-License-Identifier: Apache-2.0
"""Ours beside every published editor, on the same radiographs, edits, seeds and judges."""
