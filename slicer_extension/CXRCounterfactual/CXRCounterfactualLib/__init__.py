# SPDX-License-Identifier: Apache-2.0
"""The extension's parts: what is decided (no qt), what runs (backend), what is shown (panels).

A ``Choice`` (params) becomes a job (jobs), a process runs it (backend) and tells events, the
presenter turns them into states, and results brings the files into the scene.
"""

__version__ = "0.1.0"
