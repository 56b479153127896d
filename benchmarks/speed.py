# SPDX-License-Identifier: Apache-2.0
"""Presets on one radiograph in, F, seconds and memory out, beside plain image-to-image.

    python benchmarks/speed.py docs/example.dcm --out benchmarks/speed.json

Each run is a process of its own, so that peak memory is its own; plain image-to-image is preset
``default`` with every law off and guidance on all steps. The command is stored with the figures.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROMPT = "moderate left pleural effusion"
PLAIN = ["--no-gate", "--no-boost", "--no-correction", "--no-regional-prompt", "--no-anatomy"]
PLAIN += ["--no-paste", "--no-regional-guidance", "--sampling-cfg-from=0"]
PLAIN += ["--sampling-cfg-until", "1"]
PLAIN += ["--start-kind", "strength", "--sampling-solver", "dpmpp"]  # whatever the calibration says
RUNS = {
    "paper": ["--preset", "paper"],
    "default": ["--preset", "default"],
    "fast": ["--preset", "fast"],
    "plain image-to-image": PLAIN,
}


def measure(source: Path, flags: list[str]) -> dict[str, Any]:
    """Figures of one run: F, seconds of sampling and in all, peak memory, change outside."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        words = [sys.executable, "-m", "monai_cxr_cf.cli", "edit", str(source)]
        words += ["--prompt", PROMPT, "--seed", "1", "--out", str(out), "--progress", "none"]
        subprocess.run([*words, *flags], check=True, stdout=subprocess.DEVNULL)
        report = json.loads((out / "report.json").read_text())
    run, cost = report["run"], report["trace"]["cost"]
    return {
        "f": round(cost["f"]["total"], 1),
        "f_split": cost["f"],
        "sample_s": run["seconds"]["sample"],
        "all_s": round(sum(run["seconds"].values()), 1),
        "peak_memory_mb": run["peak_memory_mb"],
        "outside_max_diff": report["outside_max_diff"],
    }


def main() -> None:
    """Measure all runs; print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/speed.json"))
    parser.add_argument("--backbone", default="cxr-mini")
    chosen = parser.parse_args()
    extra = ["--backbone", chosen.backbone]
    rows = {name: measure(chosen.source, [*flags, *extra]) for name, flags in RUNS.items()}
    command = f"python benchmarks/speed.py {chosen.source} --backbone {chosen.backbone}"
    facts = {"command": command, "machine": platform.machine(), "python": sys.version.split()[0]}
    chosen.out.write_text(json.dumps({**facts, "runs": rows}, indent=1) + "\n")
    for name, row in rows.items():
        sys.stdout.write(
            f"{name:<22}{row['f']:>8} F{row['sample_s']:>9.1f} s sampling"
            f"{row['all_s']:>9.1f} s in all{row['peak_memory_mb']:>8} MB"
            f"   outside {row['outside_max_diff']}\n"
        )


if __name__ == "__main__":
    main()
