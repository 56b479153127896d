# SPDX-License-Identifier: Apache-2.0
"""What is decided: states, transitions and the words for them; no qt, no slicer."""
