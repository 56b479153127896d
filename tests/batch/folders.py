# SPDX-License-Identifier: Apache-2.0
"""Manifests of stub rows, runs of them in a process of their own, and what a folder then holds."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.store.results import read_lines
from monai_cxr_cf.batch.store.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("id", "path", "prompt", "seeds", "patient", "do")


def write_manifest(
    folder: Path, count: int, do: Mapping[int, str] | None = None, *, each: int = 2
) -> Path:
    """A manifest of ``count`` rows, ``each`` of them on one radiograph; ``do`` by row from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for i in range(count):
            source = folder / f"source{i // each}"
            source.write_text(f"radiograph {i // each}")
            what = (do or {}).get(i, "")
            writer.writerow((f"r{i}", source.name, "cardiomegaly", i, f"p{i // 4}", what))
    return path


def start(folder: Path, manifest: Path, **told: Any) -> "subprocess.Popen[str]":
    """A driver in a process group of its own."""
    words = json.dumps({"manifest": str(manifest), **told})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.batch.stubs", str(folder), words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def batch(folder: Path, manifest: Path, **told: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and counts of a run; {} where it was killed."""
    process = start(folder, manifest, **told)
    out, error = process.communicate(timeout=300)
    counts = json.loads(out) if out else {}
    return process.returncode, {**counts, "stderr": error}


def lines(folder: Path) -> list[dict[str, Any]]:
    """Every line of every shard, in order."""
    path = RunFolder(folder)
    return [line for n in range(path.read().shards) for line in read_lines(path.results(n))]


def states(folder: Path) -> Counter[str]:
    """How many lines there are of each state."""
    return Counter(line["state"] for line in lines(folder))


def keys(folder: Path) -> dict[str, str]:
    """Key by identifier of the finished rows; AssertionError if one stands twice."""
    done = [(line["id"], line["key"]) for line in lines(folder) if line["state"] == "done"]
    assert len(dict(done)) == len(done), "a row was committed twice"
    return dict(done)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below ``rows/``."""
    rows = folder / "rows"
    found: Sequence[Path] = sorted(p for p in rows.rglob("*") if p.is_file())
    return {path.relative_to(rows).as_posix(): path.read_bytes() for path in found}


def packed(folder: Path) -> dict[str, bytes]:
    """The bytes of every pack."""
    return {path.name: path.read_bytes() for path in sorted((folder / "packs").iterdir())}


def leftovers(folder: Path) -> list[str]:
    """Files that a finished run has no use for."""
    aside = folder / "aside"
    return [p.name for p in aside.rglob("*")] + [p.name for p in folder.rglob(".*.part")]
