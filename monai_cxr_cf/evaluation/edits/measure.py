# SPDX-License-Identifier: Apache-2.0
"""One trial in, one row per seed out: the edit is made by the pipeline, then measured.

A row is plain JSON; its fields are listed in docs/evaluation.md. Nothing is judged valid here: that
needs the shams of the whole run (``valid``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf import pipeline
from monai_cxr_cf.anatomy.segment import Segmentation
from monai_cxr_cf.case import words
from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.evaluation.edits.extra import Extra, extra_of
from monai_cxr_cf.evaluation.edits.pictures import Strip, save_strip
from monai_cxr_cf.evaluation.edits.protocol import Trial
from monai_cxr_cf.judges import geometry
from monai_cxr_cf.judges.evidence import Evidence, Opinion
from monai_cxr_cf.judges.verdict import judge
from monai_cxr_cf.measures.masks import dice
from monai_cxr_cf.measures.perceptual import masked_mean, ssim_map
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.outputs import outside_of
from monai_cxr_cf.runs.run import Picture, Run, Stages

if TYPE_CHECKING:
    from monai_cxr_cf.judges.classifier import Judge
    from monai_cxr_cf.measures.perceptual import Lpips

Array = NDArray[np.float32]
Row = dict[str, Any]
GREY = 255.0
WIDTH = 1024  # landmark drift is given in pixels of an image this wide


@dataclass(frozen=True, eq=False)
class Bench:
    """The loaded parts that measure trials."""

    networks: Networks
    judges: Mapping[str, Judge]  # j1, j2; may be empty
    lpips: Lpips | None = None
    pictures: Path | None = None  # folder of the thumbnails; None = draw none
    extra: Extra | None = None  # further columns, and pictures of the decoder's own


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known of one trial's source: the yardstick of all its seeds."""

    run: Run
    found: Segmentation
    frame: geometry.Frame
    measures: Mapping[str, float]
    scores: Mapping[str, NDArray[np.floating]]  # judge -> (1 + seeds, findings), source first


def settings_of(trial: Trial, networks: Networks) -> EditConfig:
    """The configuration in force for a trial; a sham's is that of its edit."""
    request = trial.request()
    return pipeline.configure(request, words(request), networks)[0]


def rows_of(trial: Trial, bench: Bench, *, key: str) -> list[Row]:
    """Make the edits of a trial and measure each.

    Args:
        trial: what to do.
        bench: with what.
        key: of the rows; ``-SEED`` is appended.

    Raises:
        CxrError: the pipeline refuses the input.
    """
    began = time.perf_counter()
    raw = bench.extra is not None
    run, pictures = pipeline.edit(trial.request(), bench.networks, Stages(), raw=raw)
    made = time.perf_counter()
    seen = _seen(run, pictures, bench)
    rows = []
    more = _more(run, pictures, bench, trial)
    for number, (seed, picture) in enumerate(zip(run.seeds, pictures, strict=True)):
        row = about(trial, seed) | {"key": f"{key}-{seed}", "trial": trial.identity}
        row |= {"config": run.config.hash(), "strength": run.config.start.strength}
        row |= _scored(seen, bench, number + 1)
        row |= _measured(trial, seen, picture, _opinion(row, bench))
        row |= _likeness(run, picture, bench) | more[number]
        if bench.pictures is not None:
            row["picture"] = f"{row['key']}.png"
            change = picture.change if picture.raw is None else picture.raw
            strip = Strip(run.radiograph.pixels, run.case.region, change)
            save_strip(strip, bench.pictures / row["picture"])
        rows.append(row)
    judged = time.perf_counter()
    for row in rows:
        row["seconds"] = round((made - began) / len(rows), 3)
        row["seconds_judging"] = round((judged - made) / len(rows), 3)
    return [plain(row) for row in rows]


def _more(run: Run, pictures: list[Picture], bench: Bench, trial: Trial) -> list[Row]:
    if bench.extra is None:
        return [{} for _ in pictures]
    found = extra_of(run, pictures, bench.extra, bench.lpips, trial.edit.finding)
    return [{"extra": row} for row in found]


def about(trial: Trial, seed: int) -> Row:
    """The fields of a row that say what was asked."""
    edit, settings = trial.edit, trial.settings
    return {
        "input": trial.input.id,
        "patient": trial.input.patient,
        "view": trial.input.view,
        "cell": trial.cell,
        "group": edit.group,
        "finding": edit.finding,
        "side": edit.side,
        "zone": edit.zone,
        "direction": edit.direction,
        "kind": trial.kind,
        "prompt": edit.prompt,
        "seed": seed,
        "preset": settings.preset,
        "switches": list(settings.switches),
        "overrides": {part: dict(values) for part, values in settings.overrides.items()},
        "backbone": Path(settings.backbone).name,
        **({} if settings.method == OURS else {"method": settings.method}),
    }


def _seen(run: Run, pictures: list[Picture], bench: Bench) -> Seen:
    pixels = run.radiograph.pixels
    found = _segment(run, pixels)
    organs = found.organs.as_dict()
    frame = geometry.frame(pixels, organs)
    images = [pixels, *(edited(run, picture) for picture in pictures)]
    scores = {name: np.asarray(judge.predict(images)) for name, judge in bench.judges.items()}
    return Seen(run, found, frame, geometry.measure(pixels, organs, frame), scores)


def _segment(run: Run, pixels: Array) -> Segmentation:
    segmenter = run.networks.segmenter(run.request.segmenter)
    return segmenter(pixels, run.radiograph.valid, aspect=run.radiograph.aspect)


def edited(run: Run, picture: Picture) -> Array:
    """The counterfactual, H x W float32, 0..1."""
    return np.asarray(np.clip(run.radiograph.pixels + picture.change, 0, 1), np.float32)


def _measured(trial: Trial, seen: Seen, picture: Picture, opinion: Opinion | None) -> Row:
    """Geometry, organs, outside, and the engine's own verdict."""
    run, image = seen.run, edited(seen.run, picture)
    after = _segment(run, image)
    organs = after.organs.as_dict()
    measures = geometry.measure(image, organs, seen.frame)
    outside = outside_of(run, picture)
    evidence = Evidence(
        source=run.radiograph.pixels,
        change=picture.change,
        expected=run.case.expected(),
        before=seen.found.organs.as_dict(),
        after=organs,
        outside_max_diff=outside,
        opinion=opinion,
    )
    verdict = judge(evidence)
    before = evidence.before
    return {
        "geometry_before": dict(seen.measures),
        "geometry_after": measures,
        "geometry_gain": geometry.gain(_asked(trial), seen.measures, measures),
        "dice": {name: round(dice(before[name], organs[name]), 4) for name in before},
        "landmark_drift_px": _drift(seen.found, after),
        "outside_max_diff": outside,
        "beyond": round(picture.beyond, 4),
        "mean_shift_side": _shifts(trial, seen.frame, picture.change),
        "verdict": verdict["verdict"],
        "verdict_failed": [c["name"] for c in verdict["checks"] if c["passed"] is False],
    }


def _asked(trial: Trial) -> dict[str, Any]:
    edit = trial.edit
    return {
        "finding": edit.finding,
        "direction": edit.direction,
        "side": edit.side,
        "zone": edit.zone,
    }


def _drift(before: Segmentation, after: Segmentation) -> float | None:
    """Mean distance of the landmarks from where they were; None without landmarks."""
    if before.landmarks is None or after.landmarks is None:
        return None
    moved = np.hypot(*(after.landmarks - before.landmarks).T)
    return round(float(moved.mean()) * WIDTH / before.organs.shape[1], 3)


def _shifts(trial: Trial, frame: geometry.Frame, change: Array) -> dict[str, float] | None:
    """Mean signed change in the finding's zone on the asked side and on the other, grey levels."""
    edit = trial.edit
    if edit.side not in geometry.SIDES:
        return None
    zone = geometry.measure_of(edit.finding, edit.side, edit.zone)[0].rsplit("_", 1)[0]
    other = "right" if edit.side == "left" else "left"
    return {
        name: round(float(change[frame.zones[f"{zone}_{side}"]].mean()) * GREY, 3)
        for name, side in (("asked", edit.side), ("other", other))
    }


def _likeness(run: Run, picture: Picture, bench: Bench) -> Row:
    """How much of the change lies in the region, and likeness inside and outside it."""
    inside, band = run.case.region, run.case.band
    outside = ~(inside | band)
    total = float(np.abs(picture.change).sum())
    share = float(np.abs(picture.change)[inside].sum()) / total if total else None
    source, image = run.radiograph.pixels, edited(run, picture)
    found: Row = {
        "inside_share": None if share is None else round(share, 4),
        "mean_shift_region": round(float(picture.change[inside].mean()) * GREY, 3),
        "mean_abs_shift_region": round(float(np.abs(picture.change[inside]).mean()) * GREY, 3),
        "lpips_inside": None,
        "lpips_outside": None,
    }
    maps = {"ssim": ssim_map(image, source)}
    if bench.lpips is not None:
        maps["lpips"] = bench.lpips.map(image, source)
    for name, values in maps.items():
        found[f"{name}_inside"] = round(masked_mean(values, inside), 5)
        found[f"{name}_outside"] = round(masked_mean(values, outside), 5)
    return found


def _scored(seen: Seen, bench: Bench, number: int) -> Row:
    """Probabilities by judge and finding, before and after; None without that judge."""
    found: Row = {}
    for name in ("j1", "j2"):
        judge = bench.judges.get(name)
        for when, index in (("before", 0), ("after", number)):
            found[f"{name}_{when}"] = None if judge is None else {
                finding: round(float(p), 4)
                for finding, p in zip(judge.findings, seen.scores[name][index], strict=True)
            }  # fmt: skip
    return found


def _opinion(row: Row, bench: Bench) -> Opinion | None:
    """What J1 tells the engine's verdict, as in a run of ``cxr-cf edit``; None without it."""
    judge = bench.judges.get("j1")
    if judge is None:
        return None
    return Opinion(
        judge=judge.name,
        sha256=judge.sha256,
        before=row["j1_before"],
        after=row["j1_after"],
        auc={name: found["auc"] for name, found in judge.auc.items()},
        counts=frozenset(name for name in judge.findings if judge.counts(name, row["view"])),
    )


def plain(value: Any) -> Any:
    """The same, with None instead of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
