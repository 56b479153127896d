# SPDX-License-Identifier: Apache-2.0
"""The extension's parts, a folder each.

A ``Choice`` (contract) becomes a job, a program runs it (process, remote) and tells events, the
presenter turns them into states, scene brings the files into the scene, and panel shows it all.
What takes time to load (numpy, pydicom, classes of vtk and slicer) is imported inside functions.
"""

__version__ = "0.1.0"
