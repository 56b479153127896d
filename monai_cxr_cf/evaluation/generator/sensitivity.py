# SPDX-License-Identifier: Apache-2.0
"""A backbone and radiographs in, how far words alone move an edit, and where, out.

Two edits of one radiograph with the same noise, one under a prompt and one under its opposite, by
plain image-to-image: no law of the method acts. The named zone comes from the organ masks of that
very radiograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.segment import Segmenter
from monai_cxr_cf.anatomy.zones import region_mask
from monai_cxr_cf.data.folder import Row, load_image
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.model.codec import encode
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.evaluation.bootstrap import Interval, interval
from monai_cxr_cf.evaluation.generator.generate import Plain, generate
from monai_cxr_cf.evaluation.rows import Rows, key_of, weights_of
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.prompts.findings import VOCABULARY, region_terms

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
GREY = 255.0
CLEAR, SMALL = "clear lungs", "normal heart size"


@dataclass(frozen=True)
class Probe:
    """One prompt, its opposite, and the finding whose region should move."""

    prompt: str
    opposite: str
    finding: str  # canonical name in the vocabulary
    side: str | None = None  # the patient's
    zone: str | None = None


PROBES = (
    Probe("large left pleural effusion", CLEAR, "pleural effusion", "left"),
    Probe("large right pleural effusion", CLEAR, "pleural effusion", "right"),
    Probe("severe cardiomegaly", SMALL, "cardiomegaly"),
    Probe("left lower lobe consolidation", CLEAR, "consolidation", "left", "lower"),
    Probe("right lower lobe consolidation", CLEAR, "consolidation", "right", "lower"),
    Probe("left upper lobe consolidation", CLEAR, "consolidation", "left", "upper"),
    Probe("right upper lobe consolidation", CLEAR, "consolidation", "right", "upper"),
    Probe("severe pulmonary edema", CLEAR, "pulmonary edema"),
)


@dataclass(frozen=True)
class Setting:
    """How the edits are made."""

    plain: Plain = field(default_factory=Plain)
    strength: float = 0.7
    seed: int = 0


def measure_sensitivity(
    backbone: Backbone,
    segmenter: Segmenter,
    sources: Sequence[tuple[Row, Path]],
    *,
    setting: Setting,
    out: Path,
    progress: Progress,
) -> list[dict[str, Any]]:
    """One row per radiograph and probe, kept in ``out/sensitivity.jsonl``; a sheet per radiograph.

    Args:
        sources: rows with the data folder they lie in; frontal radiographs without findings.
        setting: strength, guidance, seed.
        out: output folder; finished rows in it are not made again.
    """
    rows = Rows(out / "sensitivity.jsonl")
    weights, found = weights_of(backbone, segmenter), []
    for number, (row, data) in enumerate(sources):
        progress({"stage": "sensitivity", "step": number, "total": len(sources)})
        about = {"id": row.id, "weights": weights, "strength": setting.strength}
        about |= {"seed": setting.seed, **setting.plain.as_dict()}
        keys = {probe: key_of({**about, "probe": probe.prompt}) for probe in PROBES}
        if not all(key in rows for key in keys.values()):
            image = load_image(data, row)
            made = _edits(backbone, image, setting)
            organs = segmenter(image).organs
            for probe, key in keys.items():
                figures = _figures(image, made, probe, organs)
                rows.add(key, {"id": row.id, "patient": row.patient, "view": row.view, **figures})
            _sheet(made, out / f"sensitivity_{row.id}.png")
        found += [rows[key] for key in keys.values()]
    progress({"stage": "sensitivity", "step": len(sources), "total": len(sources)})
    return found


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Interval]:
    """Grey levels inside and elsewhere, their ratio (of the means), and sides obeyed."""
    inside, outside, patients = ([row[k] for row in rows] for k in ("inside", "outside", "patient"))
    pairs = np.stack([inside, outside], axis=1)

    def ratio(numbers: NDArray[np.float64]) -> float:
        mean = pairs[numbers.astype(int)].mean(0)
        return float(mean[0] / max(mean[1], 1e-9))

    sided = [row for row in rows if row["side_obeyed"] is not None]
    return {
        "inside": interval(inside, patients),
        "outside": interval(outside, patients),
        "ratio": interval(np.arange(len(rows)), patients, statistic=ratio),
        "side_obeyed": interval(
            [row["side_obeyed"] for row in sided], [row["patient"] for row in sided]
        ),
    }


def _edits(backbone: Backbone, image: Array, setting: Setting) -> dict[str, Array]:
    """Prompt -> S x S edit; all from one noise, so that only the words differ."""
    grid = ModelGrid((image.shape[0], image.shape[1]), backbone.side)
    source = encode(backbone, grid.to_model(image))
    prompts = list(dict.fromkeys(text for p in PROBES for text in (p.opposite, p.prompt)))
    seeds = [setting.seed] * len(prompts)
    made = generate(
        backbone, prompts, setting.plain, seeds=seeds, source=source, strength=setting.strength
    )
    return dict(zip(prompts, made, strict=True))


def _figures(image: Array, made: dict[str, Array], probe: Probe, organs: Organs) -> dict[str, Any]:
    """Mean absolute difference in the probe's region and elsewhere, in grey levels of 255."""
    change = (made[probe.prompt] - made[probe.opposite]) * GREY
    grid = ModelGrid((image.shape[0], image.shape[1]), len(change))

    def region(side: str | None) -> Mask:
        terms = region_terms(probe.finding, side, probe.zone)
        return grid.mask_to_model(region_mask(organs, terms)) >= 0.5

    here, within = region(probe.side), np.zeros(change.shape, bool)
    within[grid.window] = True  # padding is no place where anything could change
    obeyed = None
    if probe.side is not None:
        other = region("left" if probe.side == "right" else "right")
        sign = VOCABULARY[probe.finding].sign
        obeyed = bool(sign * change[here].mean() > sign * change[other].mean())
    return {
        "probe": probe.prompt,
        "inside": float(np.abs(change[here]).mean()),
        "outside": float(np.abs(change[within & ~here]).mean()),
        "shift": float(change[here].mean()),
        "side_obeyed": obeyed,
    }


def _sheet(made: dict[str, Array], path: Path) -> None:
    """All edits of one radiograph side by side, and below how each differs from its opposite."""
    opposite = {probe.prompt: probe.opposite for probe in PROBES}
    above = list(made.values())
    below = [
        np.clip(0.5 + (image - made[opposite.get(text, text)]), 0, 1)
        for text, image in made.items()
    ]
    grid = np.concatenate([np.concatenate(line, axis=1) for line in (above, below)])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(np.clip(grid, 0, 1) * 255).astype(np.uint8)).save(path)
