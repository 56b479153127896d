# SPDX-License-Identifier: Apache-2.0
"""Trials in, rows.jsonl out: resumable, in one process or several, with time left.

Everything that edits and measures many radiographs runs through ``run_cells``: the evaluation, the
ablation and the search for settings. A run that was stopped goes on where it was; rows of other
weights, judges or settings are refused.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.errors import BadRequest, CxrError, UnsupportedImage
from monai_cxr_cf.evaluation.edits.extra import Extra, JudgeConf
from monai_cxr_cf.evaluation.edits.measure import Bench, Row, about, rows_of, settings_of
from monai_cxr_cf.evaluation.edits.protocol import VERSION, Trial, digest
from monai_cxr_cf.evaluation.edits.store import PICTURES, finished, open_rows
from monai_cxr_cf.evaluation.generator.likeness import load_likeness
from monai_cxr_cf.evaluation.networks.load import load_conf, load_vectors
from monai_cxr_cf.evaluation.workers import results
from monai_cxr_cf.judges.classifier import load_judge
from monai_cxr_cf.measures.perceptual import load_lpips
from monai_cxr_cf.runs.networks import Networks

log = logging.getLogger(__name__)
USUAL = ("cpu", "float32")


@dataclass(frozen=True)
class Nets:
    """Networks of the further columns, by name and path.

    Attributes:
        clip: folder of a CLIP model; None = the stand-in.
        features: of distances between sets; "" = the stand-in.
        conf: (finding, folder) of networks of Conf; a finding without one is J2's.
    """

    clip: Path | None = None
    features: str = ""
    conf: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Tools:
    """What a run loads, by name and path, so that worker processes can load it too."""

    models: Path | None = None  # folder of the shipped weights; None = the installed bundle's
    judges: Mapping[str, str] = field(default_factory=dict)  # j1, j2 -> folder
    lpips: Path | None = None
    workers: int = 1
    pictures: bool = True
    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    nets: Nets | None = None  # further columns, and the decoder's own picture
    more: Mapping[str, str] = field(default_factory=dict)  # digests of what else rows depend on

    def load(self, folder: Path) -> Bench:
        """The parts, ready to measure trials into ``folder``."""
        judges = {name: _judge(spec) for name, spec in self.judges.items()}
        return Bench(
            networks=Networks(self.models, self.device, self.precision, self.compiled),
            judges=judges,
            extra=None if self.nets is None else _extra(self.nets, judges.get("j2")),
            lpips=None if self.lpips is None else load_lpips(self.lpips),
            pictures=folder / PICTURES if self.pictures else None,
        )


def _extra(nets: Nets, judge: Any) -> Extra:
    known = () if judge is None else judge.findings
    conf: dict[str, Any] = {name: JudgeConf(judge, name) for name in known}
    conf |= {finding: load_conf(Path(spec), finding) for finding, spec in nets.conf}
    likeness = load_likeness(nets.clip)
    same = not nets.features and nets.clip is None
    return Extra(likeness, likeness if same else load_vectors(nets.features), conf)


def _judge(spec: str) -> Any:

    return load_judge(spec)


def run_cells(
    trials: Sequence[Trial],
    folder: Path,
    tools: Tools,
    *,
    bench: Bench | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Run what is missing of ``trials`` and return the rows of all of them, in their order.

    Args:
        trials: what to do; two with one identity are refused.
        folder: holds run.json, rows.jsonl and pictures/; an earlier run in it is continued.
        tools: what to load.
        bench: loaded parts to reuse in this process; None loads ``tools``.
        progress: called with ``{"stage", "step", "total"}`` after every trial; may raise.

    Raises:
        BadRequest: rows of other weights, settings or protocol lie in the folder.
        CxrError: the run cannot go on; the rows so far are kept.
    """
    if len({trial.identity for trial in trials}) < len(trials):
        raise BadRequest("A trial is listed twice.")
    bench = bench or tools.load(folder)
    header = header_of(trials, bench, tools)
    kept = open_rows(folder, header)
    wanted = {t.identity: _plan(t, bench.networks, header["weights"]) for t in trials}
    done = finished(kept, wanted)
    missing = [trial for trial in trials if trial.identity not in done]
    jobs = [(trial, wanted[trial.identity][0]) for trial in missing]
    tell = _Teller(len(trials), len(done), progress or (lambda event: None))
    load, workers = partial(tools.load, folder), tools.workers
    with closing(results(jobs, _work, parts=bench, load=load, workers=workers)) as found:
        for rows in found:
            kept.extend(rows)
            tell(rows)
    order = {trial.identity: number for number, trial in enumerate(trials)}
    asked = [row for row in kept if row["trial"] in order]
    return sorted(asked, key=lambda row: (order[row["trial"]], row["seed"]))


def header_of(trials: Sequence[Trial], bench: Bench, tools: Tools) -> dict[str, Any]:
    """What ``run.json`` says: digests of every network, and how far the judges can be trusted."""
    weights: dict[str, str] = {"j1": "none", "j2": "none", "lpips": "none"}
    for spec in dict.fromkeys(trial.settings.backbone for trial in trials):
        backbone = bench.networks.backbone(spec)
        how = ("compiled",) * backbone.compiled
        place = (backbone.device.type, str(backbone.dtype).removeprefix("torch."), *how)
        others = [] if place == USUAL else [place]  # rows of both are not mixed in one table
        weights[f"backbone {Path(spec).name}"] = digest([*sorted(backbone.files.items()), *others])
    for kind in dict.fromkeys(trial.settings.segmenter for trial in trials):
        weights[f"segmenter {kind}"] = bench.networks.segmenter(kind).sha256
    for name, judge in bench.judges.items():
        weights[name] = judge.sha256
    if tools.lpips is not None and bench.lpips is not None:
        data = b"".join(v.numpy().tobytes() for _, v in sorted(bench.lpips.weights.items()))
        weights["lpips"] = hashlib.sha256(data).hexdigest()
    about = {} if bench.extra is None else bench.extra.about()
    weights |= {name: told["sha256"] for name, told in about.items()} | dict(tools.more)
    judges = {
        name: {"name": judge.name, "findings": list(judge.findings), "auc": dict(judge.auc)}
        for name, judge in bench.judges.items()
    }
    return {"protocol": VERSION, "weights": weights, "judges": judges}


def _plan(trial: Trial, networks: Networks, weights: Mapping[str, str]) -> tuple[str, str, int]:
    """Key of a trial's rows, hash of its configuration, how many rows it has."""
    config = settings_of(trial, networks).hash()
    return digest([trial.identity, config, sorted(weights.items())]), config, len(trial.seeds)


class _Teller:
    """Counts trials and estimates the time left from those of this run."""

    def __init__(self, total: int, done: int, progress: Progress) -> None:
        self.total, self.done, self.first = total, done, done
        self.progress, self.began = progress, time.monotonic()
        progress({"stage": "edits", "step": done, "total": total})

    def __call__(self, rows: Sequence[Row]) -> None:
        self.done += 1
        each = (time.monotonic() - self.began) / (self.done - self.first)
        left = each * (self.total - self.done)
        words = f"{rows[0]['cell']}, {rows[0]['kind']}"
        log.info("%d of %d, %.0f min left: %s", self.done, self.total, left / 60, words)
        event = {"stage": "edits", "step": self.done, "total": self.total}
        self.progress(event | {"eta_s": round(left), "words": words})


def rows_or_refusal(trial: Trial, bench: Bench, *, key: str) -> list[Row]:
    """The rows of a trial; an image that the engine refuses gives rows that say so.

    So does a published method that fails on it.
    """
    try:
        return rows_of(trial, bench, key=key)
    except CxrError as refusal:
        failed = type(refusal) is CxrError and trial.settings.method != OURS
        if not (failed or isinstance(refusal, UnsupportedImage)):
            raise
        log.warning("an input was refused: %s", refusal.code)
        config = settings_of(trial, bench.networks).hash()
        common = {"trial": trial.identity, "config": config, "refused": refusal.code}
        return [about(trial, s) | common | {"key": f"{key}-{s}"} for s in trial.seeds]


def _work(bench: Bench, job: tuple[Trial, str]) -> list[Row]:
    return rows_or_refusal(job[0], bench, key=job[1])
