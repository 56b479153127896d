# SPDX-License-Identifier: Apache-2.0
"""A backbone and a data folder in, every figure about the generator alone out, against its bars.

Autoencoder, samples from text, Frechet distance, prompt sensitivity: what the backbone can do
before any law of the method acts. ``cxr-cf evaluate samples`` is this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr_cf.anatomy.organs import check
from monai_cxr_cf.data.folder import Row, load_image, read_index
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import decode, encode
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.errors import BadRequest, UnreadableInput, UnsupportedImage
from monai_cxr_cf.evaluation.bootstrap import Interval, interval
from monai_cxr_cf.evaluation.generator.frechet import features, load_features
from monai_cxr_cf.evaluation.generator.generate import Plain
from monai_cxr_cf.evaluation.generator.samples import (
    FIRST_SEED,
    Pictures,
    Real,
    captions_of,
    distances,
    equal_count,
    sample_sheet,
)
from monai_cxr_cf.evaluation.generator.sensitivity import Setting, measure_sensitivity, summary
from monai_cxr_cf.evaluation.rows import Rows, key_of, weights_of, write_json
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.measures.perceptual import psnr, ssim
from monai_cxr_cf.runs.networks import Networks

PARTS = ("sheet", "frechet", "autoencoder", "sensitivity")
# figure -> (what it says, bar, whether more is better); no bar: shown for scale
BARS: dict[str, tuple[str, float | None, bool]] = {
    "psnr": ("autoencoder, PSNR in dB", 34.0, True),
    "ssim": ("autoencoder, SSIM", 0.92, True),
    "frechet_ratio": ("Frechet distance of samples, over that of two real halves", 3.0, False),
    "frechet_generated": ("Frechet distance, samples to real", None, False),
    "frechet_real_halves": ("Frechet distance, two real halves", None, False),
    "frechet_decoded_half": ("Frechet distance, a decoded real half to the other", None, False),
    "frechet_pa_ap": ("Frechet distance, real PA to real AP", None, False),
    "inside": ("prompt sensitivity in the named zone, grey levels", 6.0, True),
    "outside": ("prompt sensitivity elsewhere, grey levels", None, False),
    "ratio": ("prompt sensitivity, named zone over elsewhere", 2.0, True),
    "side_obeyed": ("plain edits that act on the asked side, share", None, True),
}


@dataclass(frozen=True)
class Plan:
    """What is measured, on how much."""

    backbone: str = "cxr-mini"
    segmenter: str = "hybridgnet"
    split: str = "test"
    parts: tuple[str, ...] = PARTS
    plain: Plain = field(default_factory=Plain)
    strength: float = 0.7  # of the sensitivity edits
    images: int = 6  # radiographs of the sensitivity edits
    samples: int | None = None  # generated for the distance; None = as many as the real ones allow
    limit: int | None = None  # real radiographs; None = all of the split
    dimensions: int = 64


@dataclass(frozen=True, eq=False)
class Study:
    """Everything the parts share."""

    plan: Plan
    data: Path
    rows: Sequence[Row]
    networks: Networks
    out: Path
    progress: Progress
    _decoded: dict[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)

    @property
    def backbone(self) -> Backbone:
        """The backbone under test."""
        return self.networks.backbone(self.plan.backbone)

    def pictures(self) -> Pictures:
        """Samples from text, kept in ``out/samples``."""
        return Pictures(self.backbone, self.plan.plain, self.out / "samples", self.progress)

    def decoded(self, row: Row) -> tuple[Any, Any]:
        """A radiograph as a square, and the same after the autoencoder: made once for all parts."""
        if row.id not in self._decoded:
            image = load_image(self.data, row)
            shape, backbone = (image.shape[0], image.shape[1]), self.backbone
            square = ModelGrid(shape, backbone.side).to_model(image)
            self._decoded[row.id] = square, decode(backbone, encode(backbone, square))[0]
        return self._decoded[row.id]


def evaluate_samples(
    data: Path, out: Path, plan: Plan, *, networks: Networks, progress: Progress
) -> dict[str, Any]:
    """Measure the parts of the plan and write table.json, table.md and the sheets into ``out``.

    A second start with the same ``out`` makes only what is missing.

    Raises:
        BadRequest: an unknown part, or too few radiographs for one.
        UnreadableInput: the split has no radiograph.
    """
    unknown = [part for part in plan.parts if part not in PARTS]
    if unknown:
        raise BadRequest(f"Unknown part '{unknown[0]}'.", hint=f"Parts: {', '.join(PARTS)}.")
    rows = [row for row in read_index(data) if row.split == plan.split][: plan.limit]
    if not rows:
        raise UnreadableInput(
            f"The data folder has no radiograph of the split '{plan.split}'.",
            hint="Check --split and the column 'split' of index.csv.",
        )
    study = Study(plan, data, rows, networks, out, progress)
    figures: dict[str, Interval] = {}
    facts: dict[str, Any] = {}
    for part in PARTS:
        if part in plan.parts:
            found, about = _MEASURES[part](study)
            figures |= found
            facts[part] = about
    return _written(study, figures, facts)


def _sheet(study: Study) -> tuple[dict[str, Interval], dict[str, Any]]:
    path = study.out / "sheet.png"
    images = sample_sheet(study.pictures(), path)
    return {}, {"picture": path.name, "images": len(images)}


def _frechet(study: Study) -> tuple[dict[str, Interval], dict[str, Any]]:
    network, plan = load_features(), study.plan
    pairs = []
    for number, row in enumerate(study.rows):
        study.progress({"stage": "features", "step": number, "total": len(study.rows)})
        pairs.append(study.decoded(row))
    squares, decoded = zip(*pairs, strict=True)
    patients, views = ([getattr(row, k) for row in study.rows] for k in ("patient", "view"))
    real = Real(features(network, squares), features(network, decoded), patients, views)
    count = plan.samples or equal_count(real, len(study.rows))
    made = study.pictures()(
        captions_of(study.rows, count), range(FIRST_SEED, FIRST_SEED + count), stage="samples"
    )
    found = distances(real, features(network, list(made)), dimensions=plan.dimensions)
    names = ("generated", "real_halves", "decoded_half", "pa_ap", "ratio")
    return {f"frechet_{name}": Interval(*found[name]) for name in names}, found


def _autoencoder(study: Study) -> tuple[dict[str, Interval], dict[str, Any]]:
    rows = Rows(study.out / "autoencoder.jsonl")
    weights, found = weights_of(study.backbone), []
    for number, row in enumerate(study.rows):
        study.progress({"stage": "autoencoder", "step": number, "total": len(study.rows)})
        key = key_of({"id": row.id, "weights": weights})
        if key not in rows:
            image, back = study.decoded(row)
            rows.add(key, {"id": row.id, "psnr": psnr(back, image), "ssim": ssim(back, image)})
        found.append(rows[key])
    patients = [row.patient for row in study.rows]
    figures = {k: interval([row[k] for row in found], patients) for k in ("psnr", "ssim")}
    return figures, {"images": len(found)}


def _sensitivity(study: Study) -> tuple[dict[str, Interval], dict[str, Any]]:
    plan = study.plan
    segmenter = study.networks.segmenter(plan.segmenter)
    sources = [(row, study.data) for row in _normals(study, plan.images)]
    if not sources:
        raise BadRequest(
            "No usable radiograph labelled 'No Finding' is in this split.",
            hint="Name another --split, or leave 'sensitivity' out of --parts.",
        )
    rows = measure_sensitivity(
        study.backbone,
        segmenter,
        sources,
        setting=Setting(plan.plain, plan.strength),
        out=study.out,
        progress=study.progress,
    )
    probes = {
        name: {k: v.value for k, v in summary([r for r in rows if r["probe"] == name]).items()}
        for name in dict.fromkeys(row["probe"] for row in rows)
    }
    return dict(summary(rows)), {"images": [row.id for row, _ in sources], "probes": probes}


def _normals(study: Study, count: int) -> list[Row]:
    """Radiographs without findings whose organs are plausible, PA and AP in turn."""
    found: dict[str, list[Row]] = {}
    for row in study.rows:
        if row.labels == ("No Finding",):
            found.setdefault(row.view[:2], []).append(row)
    order = [rows[i] for i in range(len(study.rows)) for rows in found.values() if i < len(rows)]
    segmenter, chosen = study.networks.segmenter(study.plan.segmenter), list[Row]()
    for row in order:
        if len(chosen) == count:
            break
        seen = segmenter(load_image(study.data, row))
        try:
            check(seen.organs, agreement=seen.agreement)
        except UnsupportedImage:
            continue  # the engine would refuse it too
        chosen.append(row)
    return chosen


def _written(study: Study, figures: dict[str, Interval], facts: dict[str, Any]) -> dict[str, Any]:
    table = []
    for name, (words, bar, more) in BARS.items():
        if name in figures:
            value, low, high = (_plain(x) for x in figures[name])
            row = {"figure": name, "words": words, "value": value, "low": low, "high": high}
            reached = None if bar is None or value is None else (value >= bar) == more
            table.append(row | {"bar": bar, "more_is_better": more, "reached": reached})
    result = {
        "backbone": study.backbone.name,
        "weights": weights_of(study.backbone),
        "plan": asdict(study.plan),
        "radiographs": len(study.rows),
        "figures": table,
        "parts": facts,
    }
    study.out.mkdir(parents=True, exist_ok=True)
    write_json(study.out / "table.json", result)
    (study.out / "table.md").write_text(table_text(result) + "\n", encoding="utf-8")
    return result


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def table_text(result: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    lines = ["| figure | value | 95 % | bar | |", "|---|---|---|---|---|"]
    for row in result["figures"]:
        sign = ">=" if row["more_is_better"] else "<="
        bar = "" if row["bar"] is None else f"{sign} {row['bar']:g}"
        verdict = {True: "reached", False: "MISSED", None: ""}[row["reached"]]
        value, low, high = (_said(row[k]) for k in ("value", "low", "high"))
        lines.append(f"| {row['words']} | {value} | {low} to {high} | {bar} | {verdict} |")
    return "\n".join(lines)


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


_MEASURES = {
    "sheet": _sheet,
    "frechet": _frechet,
    "autoencoder": _autoencoder,
    "sensitivity": _sensitivity,
}
