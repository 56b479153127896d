# SPDX-License-Identifier: Apache-2.0
"""The server as a runner: a client that Slicer's own Python runs as a program of its own."""
