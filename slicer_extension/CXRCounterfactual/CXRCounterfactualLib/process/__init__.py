# SPDX-License-Identifier: Apache-2.0
"""Programs beside Slicer: the runner's environment, commands, and one process from start to end."""
