# SPDX-License-Identifier: Apache-2.0
"""The most memory that this process has held: a number for reports, None where none is told."""

import sys
from importlib import import_module
from importlib.util import find_spec


def peak_memory_mib() -> float | None:
    """Peak resident memory of this process in MiB, or None.

    Linux and macOS tell it by ``resource`` (in KiB, and in bytes), Windows by psutil, which comes
    with accelerate.
    """
    if sys.platform == "win32":
        if find_spec("psutil") is None:
            return None
        held = import_module("psutil").Process().memory_info()
        return round(float(held.peak_wset) / 2**20, 1)
    if find_spec("resource") is None:
        return None
    resource = import_module("resource")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / unit, 1)
