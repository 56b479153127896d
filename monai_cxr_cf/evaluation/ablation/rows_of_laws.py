# SPDX-License-Identifier: Apache-2.0
"""Radiographs in, the rows of the paper's Table 2 out: every law off once, on the same edits.

Each edit is made with all laws and with one law off, from the same noise, so that differences are
paired. Structure is measured on the decoder's own output: a composite would hide what a law does.
Eq. 5 is taken away with the paste off on both sides, since the paste holds the same structure.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_cxr_cf import pipeline
from monai_cxr_cf.case import Case, words
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.diffusion.cost.estimate import estimate, seconds_per_f
from monai_cxr_cf.diffusion.render import Rendered
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.evaluation.edits.protocol import Settings, Trial, digest
from monai_cxr_cf.evaluation.generator.frechet import cosine
from monai_cxr_cf.evaluation.generator.likeness import Likeness
from monai_cxr_cf.evaluation.rows import Rows, weights_of
from monai_cxr_cf.measures.perceptual import masked_mean, ssim_map
from monai_cxr_cf.presets import SWITCHES, preset
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.run import Picture

if TYPE_CHECKING:
    from monai_cxr_cf.judges.classifier import Judge

log = logging.getLogger(__name__)
Row = dict[str, Any]
VERSION = 1  # of the figures; rows of another version are not used


@dataclass(frozen=True)
class Variant:
    """One row of the table: which laws are off, and which row it is compared with."""

    name: str
    switches: tuple[str, ...] = ()
    against: str | None = None


FULL, NO_PASTE = "full", "full, no paste"
NO_GATE, NO_BOOST, NO_CORRECTION = "w/o Eq. 5", "w/o Eq. 6", "w/o Eq. 9"
UNIFORM, ONE_PROMPT = "w/o regional guidance", "w/o regional prompt"
LAWS = {  # row -> the switch of its law
    NO_BOOST: "no-boost",
    NO_CORRECTION: "no-correction",
    UNIFORM: "no-regional-guidance",
    ONE_PROMPT: "no-regional-prompt",
}


def variants(name: str) -> tuple[Variant, ...]:
    """The rows for a preset: without each law that it uses.

    A preset without a paste needs no second yardstick for Eq. 5.
    """
    config = preset(name)
    rest = [
        Variant(row, (switch,), FULL)
        for row, switch in LAWS.items()
        if config.with_overrides(SWITCHES[switch]) != config
    ]
    if not config.keep.paste:
        return (Variant(FULL), Variant(NO_GATE, ("no-gate",), FULL), *rest)
    return (
        Variant(FULL),
        Variant(NO_PASTE, ("no-paste",), FULL),
        Variant(NO_GATE, ("no-gate", "no-paste"), NO_PASTE),
        *rest,
    )


@dataclass(frozen=True, eq=False)
class Instruments:
    """The loaded parts that make and measure edits."""

    networks: Networks
    likeness: Likeness
    judge: Judge | None = None  # J1; None leaves its columns empty


def with_settings(trial: Trial, name: str, variant: Variant) -> Trial:
    """The trial under one preset with the variant's laws off."""
    return replace(trial, settings=replace(trial.settings, preset=name, switches=variant.switches))


def expected_minutes(
    trials: Sequence[Trial], presets: Sequence[str], instruments: Instruments
) -> float:
    """About how long the edits will take: their cost in F times the measured time of one."""
    if not trials:
        return 0.0
    backbone = instruments.networks.backbone(trials[0].settings.backbone)
    each, total = seconds_per_f(backbone), 0.0
    for name in presets:
        for variant in variants(name):
            request = with_settings(trials[0], name, variant).request()
            config = pipeline.configure(request, words(request), instruments.networks)[0]
            seconds = estimate(backbone, config, seconds_per_f=each).seconds or 0.0
            total += seconds * sum(len(trial.seeds) for trial in trials)
    return total / 60


def run_ablation(
    trials: Sequence[Trial],
    presets: Sequence[str],
    out: Path,
    instruments: Instruments,
    *,
    progress: Progress,
) -> list[Row]:
    """One row per trial, preset, variant and seed, kept in ``out/rows.jsonl``.

    Trial after trial is finished with all its variants, so a run that is stopped has whole pairs.
    A second start makes only what is missing; rows of other weights or settings are left aside.

    Raises:
        CxrError: the pipeline refuses an input.
    """
    rows, found = Rows(out / "rows.jsonl"), []
    jobs = [(t, name, v) for t in trials for name in presets for v in variants(name)]
    source: _Source | None = None
    for number, (trial, name, variant) in enumerate(jobs):
        progress({"stage": "ablation", "step": number, "total": len(jobs)})
        job = with_settings(trial, name, variant)
        keys = _keys(job, instruments)
        if not all(key in rows for key in keys):
            if source is None or source.path != trial.input.path:
                source = _Source.read(job, instruments)
            for key, figures in zip(keys, _measured(job, source, instruments), strict=True):
                about = {"preset": name, "variant": variant.name, **trial.about()}
                rows.add(key, about | figures)
        found += [rows[key] for key in keys]
    progress({"stage": "ablation", "step": len(jobs), "total": len(jobs)})
    return found


def _keys(job: Trial, instruments: Instruments) -> list[str]:
    networks = instruments.networks
    parts = (networks.backbone(job.settings.backbone), networks.segmenter(job.settings.segmenter))
    weights = [
        weights_of(*parts),
        "none" if instruments.judge is None else instruments.judge.sha256,
    ]
    request = job.request()
    config = pipeline.configure(request, words(request), networks)[0].hash()
    base = digest([job.identity, config, weights, instruments.likeness.name, VERSION])
    return [f"{base}-{seed}" for seed in job.seeds]


@dataclass(frozen=True, eq=False)
class _Source:
    """One radiograph, read and segmented once for all its variants."""

    path: str
    radiograph: Radiograph
    scene: Any

    @classmethod
    def read(cls, job: Trial, instruments: Instruments) -> _Source:
        request = job.request()
        radiograph = read_source(request.source, request.reading)
        scene, _ = pipeline.segment(request, radiograph, instruments.networks)
        return cls(job.input.path, radiograph, scene)


def _measured(job: Trial, source: _Source, instruments: Instruments) -> list[Row]:
    """Make one trial's edits, all seeds as one batch, and measure each."""
    request, networks, radiograph = job.request(), instruments.networks, source.radiograph
    case = pipeline.locate(request, words(request), source.scene, networks)
    samples = pipeline.sample(request, case, networks, seeds=job.seeds, progress=lambda e: None)
    labels, shown = pipeline.decode(request, case, samples, networks)
    pictures = pipeline.compose(radiograph, case, shown, labels)
    structure = _structure(case, shown, case.grid.window, instruments)
    scores = _confidence(job, radiograph, pictures, instruments)
    each = shown.trace["resources"]["wall_s"] / len(job.seeds)
    return [
        {
            "seed": seed,
            "seconds": round(each, 3),
            "roi_score": roi_score(samples.trace, number),
            **structure[number],
            **scores[number],
        }
        for number, seed in enumerate(job.seeds)
    ]


def _structure(
    case: Case, shown: Rendered, window: tuple[slice, slice], instruments: Instruments
) -> list[Row]:
    """Likeness of the decoder's output and the source on the model grid, whole and outside."""
    image = case.task.image
    inner = np.zeros(image.shape, bool)
    inner[window] = True
    outside = inner & (case.task.kappa == 0)
    vectors = instruments.likeness.vectors([image, *shown.edited])
    alike = cosine(np.repeat(vectors[:1], len(shown.edited), axis=0), vectors[1:])
    rows = []
    for number, edited in enumerate(shown.edited):
        plane = ssim_map(edited, image)
        rows.append(
            {
                "cosine": round(float(alike[number]), 5),
                "ssim": round(masked_mean(plane, inner), 5),
                "ssim_outside": _number(masked_mean(plane, outside)),
            }
        )
    return rows


def _confidence(
    job: Trial, radiograph: Radiograph, pictures: Sequence[Picture], instruments: Instruments
) -> list[Row]:
    """J1's probability of the asked finding in the result, and its rise; None without it."""
    if instruments.judge is None or job.edit.finding not in instruments.judge.findings:
        return [{"conf": None, "gain": None} for _ in pictures]
    at = instruments.judge.findings.index(job.edit.finding)
    edits = [np.clip(radiograph.pixels + p.change, 0, 1).astype(np.float32) for p in pictures]
    found = np.asarray(instruments.judge.predict([radiograph.pixels, *edits]))[:, at]
    return [{"conf": round(float(p), 4), "gain": round(float(p - found[0]), 4)} for p in found[1:]]


def roi_score(trace: dict[str, Any], number: int) -> float | None:
    """Share of the finding's attention inside its region (Eq. 7, raw map) of one image of a batch.

    The mean over executed steps and attention levels; None if nothing was scored.
    """
    values = [
        per_image[number]
        for step in trace["steps"]
        for findings in step["roi_score"].values()
        for per_image in findings.values()
        if per_image[number] is not None
    ]
    return round(float(np.mean(values)), 5) if values else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 5)


def trials_for(chosen: Sequence[Trial], edits: int) -> list[Trial]:
    """The first trials of a choice that make at least ``edits`` edits."""
    found: list[Trial] = []
    for trial in chosen:
        if sum(len(t.seeds) for t in found) >= edits:
            break
        found.append(trial)
    return found


def settings(backbone: str, segmenter: str) -> Settings:
    """Settings that all variants share."""
    return Settings(backbone=backbone, segmenter=segmenter)
