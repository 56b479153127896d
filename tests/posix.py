# SPDX-License-Identifier: Apache-2.0
"""A mark for tests of what Windows does not have; there they are skipped, and say why."""

import sys

import pytest

posix = pytest.mark.skipif(
    sys.platform == "win32",
    reason="needs POSIX signals, file modes, links, /proc or a shell, which Windows lacks",
)
