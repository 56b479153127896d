# SPDX-License-Identifier: Apache-2.0
"""How the numeric libraries of this process use the processor: how many threads, and how they wait.

Two OpenMP threads that spin while they wait take the cores from each other as soon as anything else
runs: an edit beside two busy processes then takes twenty times as long. Threads that sleep do not.
libgomp and its kin read their environment once, when they are loaded, so a door calls ``prepare``
before it imports any of them.
"""

import os
import sys
from pathlib import Path

# libgomp and libomp; Intel's runtime as MKL brings it.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
COUNT = "OMP_NUM_THREADS"  # MKL and OpenBLAS follow it
CGROUP = Path("/sys/fs/cgroup")


def prepare(threads: int | None = None) -> None:
    """Let threads sleep while they wait, and start no more than this process has cores for.

    What the user has set in the environment stands. Without ``threads`` the libraries' own count
    stands, too, unless a container's quota allows fewer cores: the count decides in which order
    sums are made, so it must not follow the momentary load.

    Args:
        threads: how many threads a library may use, from 1; None: as said above.
    """
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)
    quota = allowed()
    if threads is not None:
        os.environ[COUNT] = str(threads)
    elif quota < cores():
        os.environ.setdefault(COUNT, str(quota))
    torch = sys.modules.get("torch")
    if threads is not None and torch is not None:  # loaded before: it reads no environment now
        torch.set_num_threads(threads)


def cores() -> int:
    """How many cores the system lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allowed(cgroup: Path = CGROUP) -> int:
    """Whole cores that the container's quota leaves, at least 1; ``cores()`` without a quota."""
    try:
        if (cgroup / "cpu.max").is_file():  # version 2: "QUOTA PERIOD", or "max PERIOD"
            quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()[:2]
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        share = float(quota) / float(period)
    except (OSError, ValueError):  # no quota, or a system without cgroups
        return cores()
    return max(1, min(cores(), int(share))) if share > 0 else cores()
