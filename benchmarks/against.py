# SPDX-License-Identifier: Apache-2.0
"""Two checkouts, run in turn: how long each takes for what a user does, and their ratios.

``python benchmarks/against.py OLD NEW --json against.json`` runs every row of ``ROWS`` in both, old
and new alternately, at least five times, with this Python. A checkout's code is found by
PYTHONPATH and working directory. The machine should be quiet; its load is written down. A row is a
function from a checkout to figures, so another is one more entry of the table.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

EDIT = ("edit", "docs/example.dcm", "--prompt", "moderate left pleural effusion")
QUIET = ("--progress", "none", "--out")
LIBRARIES = ("torch", "diffusers", "transformers", "monai", "numpy", "pydicom", "highdicom")
OURS = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_")  # no such setting of the caller
SPIN = "while True: pass"
MEASURE = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
wall = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
told = {"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "peak_mib": peak}
sys.stderr.buffer.write(done.stderr[-2000:] if done.returncode else b"")
print(json.dumps(told))
sys.exit(done.returncode)
"""
Figures = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One measurement: what it is, and the function that takes its figures."""

    words: str
    take: Callable[[Path], Figures]


def surroundings(checkout: Path) -> dict[str, str]:
    """The environment of a checkout's processes: threads and waiting as it sets them itself."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    return {**kept, "PYTHONPATH": str(checkout), "MPLBACKEND": "agg"}


def ran(checkout: Path, *words: str) -> Figures:
    """Wall time, processor time and peak memory of one whole process of the command line."""
    command = [sys.executable, "-m", "monai_cxr_cf.cli", *words]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], cwd=checkout, env=surroundings(checkout),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def edited(checkout: Path) -> Figures:
    """An edit of the example in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return ran(checkout, *EDIT, *QUIET, str(Path(folder) / "out"))


@contextmanager
def busy(count: int = 2) -> Iterator[None]:
    """As many processes that never rest."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def beside(checkout: Path) -> Figures:
    """The same edit in quiet, then beside two busy processes; figures are ratios."""
    quiet = edited(checkout)
    with busy():
        loaded = edited(checkout)
    ratios = {f"{name}_ratio": loaded[name] / quiet[name] for name in ("wall_s", "cpu_s")}
    return {**ratios, "wall_s_beside": loaded["wall_s"], "cpu_s_beside": loaded["cpu_s"]}


def helped(checkout: Path) -> Figures:
    """Processor time of ``cxr-cf --help``."""
    return {"cpu_s": ran(checkout, "--help")["cpu_s"]}


def informed(checkout: Path) -> Figures:
    """Processor time of ``cxr-cf info``."""
    return {"cpu_s": ran(checkout, "info")["cpu_s"]}


def was_read(checkout: Path) -> Figures:
    """Processor time of ``cxr-cf read`` on the example."""
    return {"cpu_s": ran(checkout, "read", "docs/example.dcm")["cpu_s"]}


def served(checkout: Path) -> Figures:
    """Eight queued edits of four radiographs through the server."""
    from served import eight_jobs  # it needs the extra "server", the other rows do not

    return eight_jobs(checkout, surroundings(checkout))


ROWS = {
    "edit": Row("cold edit, whole process", edited),
    "beside": Row("edit beside two busy processes over quiet", beside),
    "help": Row("--help", helped),
    "info": Row("info", informed),
    "read": Row("read", was_read),
    "server": Row("eight queued edits of four radiographs, two workers where known", served),
}


def compared(old: Path, new: Path, row: Row, times: int) -> dict[str, Any]:
    """Medians, spread and ratio of every figure of one row; which one runs first alternates."""
    found: dict[str, list[Figures]] = {"old": [], "new": []}
    checkouts = {"old": old, "new": new}
    for turn in range(times):
        for name in ("old", "new") if turn % 2 == 0 else ("new", "old"):
            found[name].append(row.take(checkouts[name]))
    told: dict[str, Any] = {"words": row.words, "times": times}
    for figure in found["old"][0]:
        sides = {side: [one[figure] for one in runs] for side, runs in found.items()}
        told[figure] = {
            **{side: summary(values) for side, values in sides.items()},
            "new_over_old": round(median(sides["new"]) / median(sides["old"]), 3),
        }
    return told


def summary(values: list[float]) -> dict[str, float]:
    """Median and both ends."""
    low, high = min(values), max(values)
    return {"median": round(median(values), 3), "low": round(low, 3), "high": round(high, 3)}


def machine() -> dict[str, Any]:
    """Processor, cores and versions; no name and no path of this machine."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
    model = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")
    versions = {name: metadata.version(name) for name in LIBRARIES}
    load = [round(x, 1) for x in os.getloadavg()] if hasattr(os, "getloadavg") else []
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "load_before": load,
        "versions": {"python": platform.python_version(), **versions},
    }


def version(checkout: Path) -> str:
    """The commit of a checkout; "" without git."""
    words = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def main(words: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path, help="checkout to compare with")
    parser.add_argument("new", type=Path, help="checkout to measure")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--times", type=int, default=5, help="runs of each row and checkout [5]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(words)
    old, new = args.old.resolve(), args.new.resolve()
    told = {"machine": machine(), "old": version(old), "new": version(new), "rows": {}}
    for name in args.rows:
        told["rows"][name] = compared(old, new, ROWS[name], args.times)
        sys.stdout.write(f"{name}: {json.dumps(told['rows'][name])}\n")
        sys.stdout.flush()
        if args.json:  # after every row: a run that is stopped keeps what it has
            args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
