# SPDX-License-Identifier: Apache-2.0
"""A batch killed again and again, on 1 to 8 workers of Ray, and beside a loop of single edits.

    python -m benchmarks.batch_proof kills 100
    python -m benchmarks.batch_proof ray 1,2,4,8 --rows 400
    python -m benchmarks.batch_proof throughput 40

``kills`` ends a run of stub rows at so many random moments, its driver alone or with its workers,
and goes on; whatever comes out must be the bytes of an undisturbed run. ``ray`` runs stub rows of
50 ms. ``throughput`` makes so many radiographs out of docs/example.dcm, edits each with two prompts
by a loop of ``cxr-cf edit`` and by ``cxr-cf batch run``, and compares every file.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.begin import Plan, lay_out
from monai_cxr_cf.batch.engines.on_ray import OnRay
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.run import run
from monai_cxr_cf.batch.store.run_folder import RunFolder
from tests.batch.folders import (
    ROOT,
    batch,
    contents,
    keys,
    leftovers,
    lines,
    start,
    write_manifest,
)
from tests.batch.stubs import Stub

PROMPTS = ("moderate left pleural effusion", "cardiomegaly")
CXR_CF = (sys.executable, "-m", "monai_cxr_cf.cli")
ROW_S = 0.05
TOLD: dict[str, Any] = {"work": {"seconds": ROW_S}, "shard": 5}


def main() -> int:
    """Measure and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["kills", "ray", "throughput"])
    parser.add_argument("count", help="of kills; of workers, with commas; of radiographs")
    parser.add_argument("--rows", type=int, default=40, help="of a batch; of ray: a worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, help="of the loop; 1, as of a worker: same bytes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where to work; the disk matters")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        figures = {"kills": kills, "ray": on_ray, "throughput": throughput}[args.part](work, args)
    finally:
        shutil.rmtree(work)
    told = {"command": " ".join(sys.argv[1:]), **figures, "load_average": os.getloadavg()[0]}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0


def kills(work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Batches of stub rows, each killed until it comes to its end between two kills."""
    chance, wanted, done, batches, groups = random.Random(args.seed), int(args.count), 0, 0, 0
    manifest = write_manifest(work / "in", args.rows)
    began = time.monotonic()
    batch(work / "undisturbed", manifest, **TOLD)
    whole = time.monotonic() - began  # a kill comes at any moment of so long a run
    while done < wanted:
        folder, batches = work / f"run{batches}", batches + 1
        while True:
            process = start(folder, manifest, **TOLD)
            time.sleep(chance.uniform(0.0, whole))
            if process.poll() is not None or done == wanted:
                break
            done, group = done + 1, chance.random() < 0.5
            groups += group
            os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
            process.communicate()
        _, error = process.communicate()
        check(process.returncode == 0, error)
        check(keys(folder) == keys(work / "undisturbed"), "a row was lost")
        check(contents(folder) == contents(work / "undisturbed"), "other bytes")
        check(not leftovers(folder), f"leftovers: {leftovers(folder)}")
        shutil.rmtree(folder)
    return {"kills": done, "of_all_processes": groups, "batches": batches, "rows": args.rows,
            "lost": 0, "twice": 0, "other_bytes": 0,
            "seconds": round(time.monotonic() - began)}  # fmt: skip


def on_ray(work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Rows a second in the middle half of the lines, which leaves the starts of actors out."""
    rates = {}
    for workers in map(int, args.count.split(",")):
        manifest = write_manifest(work / f"in{workers}", args.rows * workers)
        folder = RunFolder(work / f"run{workers}")
        lay_out(folder, Plan(manifest))
        run(folder, Stub(seconds=ROW_S), How(workers=workers), engine=OnRay())
        times = sorted(line["t"] for line in lines(folder.path))
        quarter = len(times) // 4
        rates[workers] = 2 * quarter / (times[3 * quarter] - times[quarter])
    first = rates[min(rates)] / min(rates)
    return {
        "row_ms": 1e3 * ROW_S,
        "rows_a_worker": args.rows,
        "rows_a_second": {n: round(rate, 1) for n, rate in rates.items()},
        "of_linear": {n: round(rate / n / first, 3) for n, rate in rates.items()},
    }


def throughput(work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a shell loop and of a batch over the same edits."""
    sources = radiographs(work / "in", int(args.count))
    threads = ["--threads", args.threads] if args.threads else []
    began = time.monotonic()
    for source in sources:
        for number, prompt in enumerate(PROMPTS):
            out = work / "loop" / f"{source.stem}-{number}"
            call("edit", source, "--prompt", prompt, "--out", out, *threads)
    loop, began = time.monotonic() - began, time.monotonic()
    words = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    call("batch", "plan", source.parent, *words, "--out", work / "m.csv")
    call("batch", "run", work / "m.csv", "--out", work / "run", "--workers", args.workers)
    whole = time.monotonic() - began
    folder, same = RunFolder(work / "run"), 0
    for row in (row for n in range(folder.read().shards) for row in folder.read_plan(n)):
        (line,) = [line for line in lines(folder.path) if line["n"] == row.number]
        alone = work / "loop" / f"{Path(row.path).stem}-{PROMPTS.index(row.edit.prompt)}"
        same += files(folder.row(line["key"])) == files(alone)
    return {
        "edits": len(sources) * len(PROMPTS),
        "workers": args.workers,
        "loop_s": round(loop, 1),
        "batch_s": round(whole, 1),
        "ratio": round(loop / whole, 2),
        "threads_of_the_loop": args.threads,
        "same_bytes": same,
    }


def radiographs(folder: Path, count: int) -> list[Path]:
    """The example, moved sideways by some pixels, so that no two are the same."""
    import numpy as np
    from pydicom import dcmread

    folder.mkdir()
    for number in range(count):
        ds = dcmread(ROOT / "docs" / "example.dcm")
        ds.decompress()
        ds.SOPInstanceUID = f"{ds.SOPInstanceUID[:50]}.{number}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PixelData = np.roll(ds.pixel_array, number - count // 2, axis=1).tobytes()
        ds.save_as(folder / f"{number:03d}.dcm")
    return sorted(folder.iterdir())


def files(folder: Path) -> dict[str, bytes]:
    """Of an edit, but for its report, which holds times."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "report.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def call(*words: object) -> None:
    """A command of ours."""
    done = subprocess.run([*CXR_CF, *map(str, words)], capture_output=True, text=True, check=False)
    check(done.returncode == 0, done.stderr)


def check(held: bool, otherwise: str) -> None:
    """End with a sentence if something does not hold."""
    if not held:
        sys.exit(f"it does not hold: {otherwise}")


if __name__ == "__main__":
    sys.exit(main())
