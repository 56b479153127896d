# SPDX-License-Identifier: Apache-2.0
"""What a batch costs besides its edits: time and memory of rows that do next to nothing.

    python benchmarks/batch.py 100000 --out batch.json

Every row writes two small files. The same files are written by a bare loop first; what the batch
takes longer is its overhead: checking, planning, handing out, syncing, renaming, counting.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.count import count
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.run import run
from monai_cxr_cf.batch.store.run_folder import RunFolder


@dataclass(frozen=True)
class Nothing:
    """A work of two small files."""

    def load(self) -> None:
        """Nothing to load."""

    def weights(self, parts: Any, row: Row | None) -> Mapping[str, str]:
        """One model."""
        return {"nothing": "0"}

    def key(self, parts: Any, row: Row) -> str:
        """Of the identifier."""
        return sha256(row.id.encode()).hexdigest()

    def build(self, parts: Any, row: Row, folder: Path) -> None:
        """Two files."""
        folder.mkdir()
        (folder / "picture").write_text(row.id)
        (folder / "report").write_text("x" * 200)

    def facts(self, folder: Path) -> Mapping[str, Any]:
        """Whole if it has a report."""
        return {"verdict": "passed", "bytes": (folder / "report").stat().st_size}


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="where to work; the disk matters")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        figures = measure(work, args.rows, args.workers)
    finally:
        shutil.rmtree(work)
    text = json.dumps({"command": " ".join(sys.argv), **figures}, indent=1)
    sys.stdout.write(text + "\n")
    if args.out:
        args.out.write_text(text + "\n")
    return 0


def measure(work: Path, rows: int, workers: int) -> dict[str, Any]:
    """The figures of so many rows."""
    manifest, source = work / "manifest.csv", work / "source"
    source.write_text("x")
    with manifest.open("w") as stream:
        stream.write("id,path,prompt,seeds,patient\n")
        stream.writelines(f"r{i},source,cardiomegaly,{i},p{i // 3}\n" for i in range(rows))
    bare, bare_cpu = _bare(work / "bare", rows)
    folder, peak = RunFolder(work / "run"), [_memory()]
    began, cpu = time.perf_counter(), _processor()
    lay_out(folder, Plan(manifest))
    planned = time.perf_counter() - began
    peak.append(_memory())
    ended = run(folder, Nothing(), How(workers=workers), tell=lambda lines: peak.append(_memory()))
    whole, cpu = time.perf_counter() - began, _processor() - cpu
    began = time.perf_counter()
    count(folder)
    return {
        "rows": rows,
        "workers": workers,
        "done": ended.counts.done,
        "bare_loop_ms_a_row": round(1e3 * bare / rows, 3),
        "plan_ms_a_row": round(1e3 * planned / rows, 3),
        "batch_ms_a_row": round(1e3 * whole / rows, 3),
        "overhead_ms_a_row": round(1e3 * (whole - bare / workers) / rows, 3),
        "processor_ms_a_row_bare_and_batch": [
            round(1e3 * seconds / rows, 3) for seconds in (bare_cpu, cpu)
        ],
        "status_s": round(time.perf_counter() - began, 3),
        "driver_mb_before_and_most": [round(peak[0] / 1e6, 1), round(max(peak) / 1e6, 1)],
        "worker_mb_most": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3, 1),
        "load_average": os.getloadavg()[0],
    }


def _bare(folder: Path, rows: int) -> tuple[float, float]:
    """Wall and processor time of a loop that writes the same files to the same tree, unsynced."""
    work, began, cpu = Nothing(), time.perf_counter(), _processor()
    for i in range(rows):
        row = Row(i, f"r{i}", "", "", {})
        key = work.key(None, row)
        (folder / key[:2] / key[2:4]).mkdir(parents=True, exist_ok=True)
        work.build(None, row, folder / key[:2] / key[2:4] / key)
    return time.perf_counter() - began, _processor() - cpu


def _processor() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _memory() -> int:
    """Bytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
