# SPDX-License-Identifier: Apache-2.0
"""Two edits of one radiograph in one process, other words, same seed: what the second one costs.

    python benchmarks/again.py docs/example.dcm --out benchmarks/again.json

Each round is a process of its own: the first edit loads and makes everything, the second finds the
networks loaded and what does not depend on the words kept. A second series keeps nothing between
edits, and a third edits once with eight seeds. Medians of the rounds; processor time and wall.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

PROMPTS = "moderate left pleural effusion", "right pleural effusion"
SEED = 1
MANY = tuple(range(1, 9))
SERIES = ("kept", "nothing kept", "eight seeds")


class Clock:
    """Processor seconds of each stage, by its progress events."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._began = 0.0

    def __call__(self, event: Mapping[str, Any]) -> None:
        """A stage begins (step 0 of 1) or ends (step 1 of 1); steps inside are not looked at."""
        if event["total"] == 1 and event["step"] == 0:
            self._began = time.process_time()
        elif event["total"] == 1:
            self.stages[event["stage"]] = round(time.process_time() - self._began, 3)


def one(source: Path, prompt: str, seeds: tuple[int, ...], networks: Any) -> dict[str, Any]:
    """One edit: processor and wall seconds, stages, what was recalled."""
    from monai_cxr_cf.pipeline import run
    from monai_cxr_cf.request import EditRequest

    clock, cpu, wall = Clock(), time.process_time(), time.perf_counter()
    request = EditRequest(str(source), prompt=prompt, seeds=seeds)
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(request, Path(folder) / "out", networks=networks, progress=clock)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        told = json.loads((Path(folder) / "out" / "report.json").read_text())
    return {
        "cpu_s": round(cpu, 2),
        "wall_s": round(wall, 2),
        "stages_cpu_s": clock.stages,
        "f": round(told["trace"]["cost"]["f"]["total"], 1),
        "recalled_f": round(told["run"]["sampling"].get("recalled_f", 0.0), 1),
        "recalled": told["run"].get("recalled", {}),
        "outside_max_diff": outcome.metrics["outside_max_diff"],
    }


def round_of(source: Path, series: str) -> list[dict[str, Any]]:
    """The edits of one process."""
    began = time.process_time()
    from monai_cxr_cf import pipeline  # noqa: F401  (imports are no part of an edit)
    from monai_cxr_cf.runs.networks import Networks

    networks = Networks()
    if series == "nothing kept":
        networks.memory.size = 0
    imports = round(time.process_time() - began, 2)
    seeds = [(SEED,), MANY if series == "eight seeds" else (SEED,)]
    words = PROMPTS[:1] * 2 if series == "eight seeds" else PROMPTS
    edits = [one(source, w, s, networks) for w, s in zip(words, seeds, strict=True)]
    return [{"imports_cpu_s": imports, **edit} for edit in edits]


def measured(source: Path, series: str, rounds: int) -> list[dict[str, Any]]:
    """First and second edit: the medians of some processes, and the spread of their totals."""
    words = [sys.executable, __file__, str(source), "--round", series]
    told = [json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
            for _ in range(rounds)]  # fmt: skip
    return [_middle(edits) for edits in zip(*told, strict=True)]


def _middle(edits: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    numbers = {key: median(e[key] for e in edits) for key in ("cpu_s", "wall_s", "imports_cpu_s")}
    stages = {s: median(e["stages_cpu_s"][s] for e in edits) for s in edits[0]["stages_cpu_s"]}
    spread = [min(e["cpu_s"] for e in edits), max(e["cpu_s"] for e in edits)]
    return {**edits[0], **numbers, "stages_cpu_s": stages, "cpu_spread_s": spread}


def table(found: Mapping[str, list[dict[str, Any]]]) -> str:
    """The figures as lines."""
    lines = [
        f"{'series':<16}{'edit':<8}{'cpu s':>8}{'wall s':>8}{'F':>8}{'of it kept':>12}  stages"
    ]
    for series, edits in found.items():
        for name, edit in zip(("first", "second"), edits, strict=True):
            stages = " ".join(f"{k} {v:.2f}" for k, v in edit["stages_cpu_s"].items())
            lines.append(f"{series:<16}{name:<8}{edit['cpu_s']:>8.2f}{edit['wall_s']:>8.2f}"
                         f"{edit['f']:>8.1f}{edit['recalled_f']:>12.1f}  {stages}")  # fmt: skip
    for name, ratio in ratios(found).items():
        lines.append(f"{name}: {ratio:.2f}")
    return "\n".join(lines)


def ratios(found: Mapping[str, list[dict[str, Any]]]) -> dict[str, float]:
    """Second edit over first, and over a second one that finds nothing; eight seeds over one."""
    cpu = {series: [edit["cpu_s"] for edit in edits] for series, edits in found.items()}
    one_seed = cpu["nothing kept"][1]
    return {
        "second edit over first, cpu": round(cpu["kept"][1] / cpu["kept"][0], 3),
        "second edit over one with nothing kept, cpu": round(cpu["kept"][1] / one_seed, 3),
        "eight seeds over one, cpu": round(cpu["eight seeds"][1] / one_seed, 3),
    }


def main() -> None:
    """Measure all series; print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/again.json"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--round", choices=SERIES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.round:
        sys.stdout.write(json.dumps(round_of(chosen.source, chosen.round)))
        return
    found = {series: measured(chosen.source, series, chosen.rounds) for series in SERIES}
    command = f"python benchmarks/again.py {chosen.source} --rounds {chosen.rounds}"
    facts = {"command": command, "machine": platform.machine(), "python": sys.version.split()[0]}
    told = {**facts, "prompts": PROMPTS, "edits": found, "ratios": ratios(found)}
    chosen.out.write_text(json.dumps(told, separators=(",", ":")) + "\n")
    sys.stdout.write(table(found) + "\n")


if __name__ == "__main__":
    main()
