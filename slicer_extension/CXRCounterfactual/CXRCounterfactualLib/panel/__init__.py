# SPDX-License-Identifier: Apache-2.0
"""The panel in Slicer: its widgets, the session that wires them, and the hands of the presenter."""
