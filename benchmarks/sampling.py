# SPDX-License-Identifier: Apache-2.0
"""Sampling of the presets beside plain image-to-image, in turn in one process.

    python benchmarks/sampling.py docs/example.dcm --out benchmarks/sampling.json

*Sampling* is the denoising loop: from the moment the processors are installed until they are taken
out, with every law, the correction, the solver, the paste and the trace. *Before* is what comes
ahead of it: encoding, text, the plan of the laws and, where a preset starts from one, the
inversion. Nothing is recalled between runs. *Plain* is `default` with every law, the correction and
the paste off, started at the same strength without an inversion: the same solver and executed
steps, and both branches on the same steps (``plain``) or on all of them (``plain, all guided``).
Every round runs every row once, in another order; processor time of one thread decides, wall time
stands beside it. Ratios are medians of the ratios of each round.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

PROMPT = "moderate left pleural effusion"
OFF = ("no-gate", "no-boost", "no-correction", "no-regional-prompt", "no-regional-guidance",
       "no-anatomy", "no-paste")  # fmt: skip
RATIOS = (
    ("default", "plain"),
    ("default", "plain, all guided"),
    ("fast", "default"),
    ("paper", "plain"),
)
Figures = dict[str, float]
Row = Callable[[], Any]  # one run of the sampler


class Clock:
    """Processor and wall seconds of the loop, and of what comes before it."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def mark(self) -> None:
        """Now."""
        self.marks.append((time.process_time(), time.perf_counter()))

    def figures(self) -> Figures:
        """Seconds between begin, loop and end."""
        begin, loop, end = self.marks
        return {
            "sampling_cpu_s": end[0] - loop[0],
            "sampling_wall_s": end[1] - loop[1],
            "before_cpu_s": loop[0] - begin[0],
        }


def timed(row: Row) -> Figures:
    """One run, timed around the processors' stay in the UNet."""
    from monai_cxr_cf.diffusion import sample

    clock, inner = Clock(), sample.controlled

    @contextmanager
    def controlled(*words: Any) -> Iterator[Any]:
        clock.mark()
        with inner(*words) as control:
            yield control
        clock.mark()

    with patch.object(sample, "controlled", controlled):
        clock.mark()
        row()
    return clock.figures()


def rows(source: Path, name: str, prompt: str) -> dict[str, Row]:
    """Every row as a call without arguments, on one case and one set of networks."""
    from monai_cxr_cf import pipeline
    from monai_cxr_cf.case import words
    from monai_cxr_cf.dicom.reading.read import read_source
    from monai_cxr_cf.diffusion.sample import sample
    from monai_cxr_cf.presets import SWITCHES
    from monai_cxr_cf.request import EditRequest
    from monai_cxr_cf.runs.networks import Networks

    networks = Networks()
    backbone = networks.backbone(name)
    backbone.recall = None
    asked = EditRequest(str(source), prompt=prompt, backbone=name)
    scene, _ = pipeline.segment(asked, read_source(source, asked.reading), networks)
    case = pipeline.locate(asked, words(asked), scene, networks)
    settings, items = networks.calibration(name), words(asked).findings
    found = {p: settings.config(p, "edit", items) for p in ("default", "fast", "paper")}
    plain = found["default"]
    for switch in OFF:
        plain = plain.with_overrides(SWITCHES[switch])
    found["plain"] = plain.with_overrides({"start": {"kind": "strength"}})
    found["plain, all guided"] = found["plain"].with_overrides({"sampling": {"cfg_until": 1.0}})

    def row(config: Any, seeds: tuple[int, ...]) -> Row:
        return lambda: sample(backbone, case.task, config, seeds=seeds)

    made = {label: row(config, (1,)) for label, config in found.items()}
    return {**made, "default, eight seeds": row(found["default"], tuple(range(1, 9)))}


def measured(made: Mapping[str, Row], rounds: int) -> dict[str, list[Figures]]:
    """Every row once a round, each round beginning with another; a first round warms up."""
    names, found = list(made), {name: [] for name in made}  # type: dict[str, list[Figures]]
    for name in names:
        timed(made[name])
    for turn in range(rounds):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            found[name].append(timed(made[name]))
    return found


def summary(values: Sequence[float]) -> Figures:
    """Median and both ends."""
    ends = {"median": median(values), "low": min(values), "high": max(values)}
    return {key: round(value, 3) for key, value in ends.items()}


def told(found: Mapping[str, list[Figures]]) -> dict[str, Any]:
    """Figures of each row, and the ratios of each round to one another."""
    figures = {
        name: {key: summary([run[key] for run in runs]) for key in runs[0]}
        for name, runs in found.items()
    }
    ratios = {}
    for over, under in RATIOS:
        if over in found and under in found:
            pairs = list(zip(found[over], found[under], strict=True))
            ratios[f"{over} over {under}"] = {
                key: summary([a[key] / b[key] for a, b in pairs])
                for key in ("sampling_cpu_s", "sampling_wall_s")
            }
    return {"rows": figures, "ratios": ratios}


def main(words: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="some rows only [all]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="cxr-mini")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(words)
    import torch

    torch.set_num_threads(args.threads)
    made = rows(args.source, args.backbone, PROMPT)
    chosen = {name: made[name] for name in args.rows or made}
    result = told(measured(chosen, args.rounds))
    for name, row in result["rows"].items():
        cells = "".join(f"{key} {cell['median']:.3f}   " for key, cell in row.items())
        sys.stdout.write(f"{name:<22}{cells}\n")
    for name, ratio in result["ratios"].items():
        cells = "".join(f"{key} {cell}   " for key, cell in ratio.items())
        sys.stdout.write(f"{name}: {cells}\n")
    if args.out:
        facts = {"processor": platform.machine(), "python": platform.python_version()}
        facts |= {"torch": torch.__version__, "threads": args.threads, "rounds": args.rounds}
        args.out.write_text(json.dumps({**facts, **result}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
