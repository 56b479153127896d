# SPDX-License-Identifier: Apache-2.0
"""A radiograph and its organ masks in, figures anyone can check with a ruler out.

The explainable judge: heart width over chest width, and how opaque each lung zone is against the
same zone of the other lung. No training, only the spread among normals (``normals.json``, learnt by
``learn_normals``), so that a movement is counted in units of what normals differ by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import zone_mask
from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.measures.masks import cardiothoracic_ratio
from monai_cxr_cf.prompts.findings import get

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Measures = Mapping[str, float]
ZONES = ("costophrenic", "lower", "mid", "upper", "perihilar", "lung")
SIDES = ("left", "right")
RATIO = "cardiothoracic_ratio"
SHOWN_IN = {"pleural effusion": "costophrenic", "pulmonary edema": "perihilar",
            "pneumothorax": "upper", "atelectasis": "lower",
            "vascular congestion": "perihilar"}  # else the whole lung  # fmt: skip
DARK, BRIGHT = 5, 95  # percentiles of lung and image that make the patient's own grey scale


@dataclass(frozen=True, eq=False)
class Frame:
    """Where and on which grey scale opacity is measured: those of the source, for its edits too."""

    zones: Mapping[str, Mask]  # "lower_left" -> H x W bool
    dark: float  # 0 of the opacity scale: well aerated lung
    bright: float  # 1 of it: the densest tissue


def frame(image: Array, organs: Mapping[str, Mask]) -> Frame:
    """The frame of a source.

    A lung that its segmenter shrinks must not hide an opacity, and an opacity must not shift the
    scale it is measured on: so source and counterfactual share zones and scale.

    Args:
        image: H x W float32, 0..1, bright = dense.
        organs: right_lung, left_lung, heart, H x W bool, the patient's sides.

    Raises:
        UnsupportedImage: a lung or one of its zones covers no pixel.
    """
    found = Organs(**{name: organs[name] for name in ("right_lung", "left_lung", "heart")})
    for side in SIDES:
        if not organs[f"{side}_lung"].any():
            raise UnsupportedImage(f"There is no {side} lung to measure.", code="no_lung")
    zones = {f"{zone}_{side}": zone_mask(found, zone, side) for zone in ZONES for side in SIDES}
    dark = float(np.percentile(image[found.lungs], DARK))
    bright = float(np.percentile(image[image > 0], BRIGHT)) if (image > 0).any() else 1.0
    return Frame(zones, dark, max(bright, dark + 0.05))


def measure(
    image: Array, organs: Mapping[str, Mask], within: Frame | None = None
) -> dict[str, float]:
    """All figures of one image.

    Args:
        image: H x W float32, 0..1, bright = dense.
        organs: of this very image; they give the heart's size.
        within: the frame of opacities; None makes one from image and organs.

    Returns:
        ``cardiothoracic_ratio`` (NaN without a heart), ``ZONE_SIDE`` opacity (0 aerated, 1 as
        dense as the densest tissue), ``ZONE_difference`` left - right, ``ZONE_mean`` of both.
    """
    within = within or frame(image, organs)
    ratio = cardiothoracic_ratio(organs)
    found = {RATIO: float("nan") if ratio is None else ratio}
    scale = within.bright - within.dark
    for name, mask in within.zones.items():
        found[name] = (float(image[mask].mean()) - within.dark) / scale
    for zone in ZONES:
        left, right = found[f"{zone}_left"], found[f"{zone}_right"]
        found[f"{zone}_difference"], found[f"{zone}_mean"] = left - right, (left + right) / 2
    return {name: round(value, 5) for name, value in found.items()}


def measure_of(finding: str, side: str | None = None, zone: str | None = None) -> tuple[str, int]:
    """The measure that shows a finding, and +1 or -1 for the way it moves when the finding comes.

    One-sided findings are measured against the other lung, so that a brighter image is none.
    """
    known = get(finding)
    if known.measure == "heart":
        return RATIO, known.sign
    where = zone if zone in ZONES else SHOWN_IN.get(known.name, "lung")
    if side in SIDES:
        return f"{where}_difference", known.sign if side == "left" else -known.sign
    return f"{where}_mean", known.sign


def gain(
    edit: Mapping[str, Any], before: Measures, after: Measures, *, spread: Measures | None = None
) -> float:
    """Movement in the asked way, in units of the spread among normals of one view.

    Args:
        edit: ``finding``, ``direction`` (add, change or remove), ``side``, ``zone``.
        before: measures of the source.
        after: measures of the counterfactual, within the source's frame.
        spread: standard deviation by measure; None = ``normals.json``.

    Returns:
        Positive where the image moved as asked; NaN where it could not be measured.
    """
    if edit.get("direction", "add") not in ("add", "change", "remove"):
        raise BadRequest(f"Unknown direction '{edit['direction']}'.")
    name, sign = measure_of(edit["finding"], edit.get("side"), edit.get("zone"))
    if edit.get("direction") == "remove":
        sign = -sign
    unit = (spread or normals()["spread"])[name]
    return round(sign * (after[name] - before[name]) / unit, 4)


def deviation(name: str, value: float, view: str) -> float:
    """How many standard deviations a measure lies above the mean of that view's normals."""
    mean, spread = normals()["views"]["AP" if view.startswith("AP") else "PA"][name]
    return float((value - mean) / spread)


def side_of(measures: Measures, view: str, zone: str = "costophrenic") -> str | None:
    """The side on which a zone is denser than normals' sides differ; None: neither."""
    z = deviation(f"{zone}_difference", measures[f"{zone}_difference"], view)
    return "left" if z > 0.5 else "right" if z < -0.5 else None


@cache
def normals() -> dict[str, Any]:
    """``normals.json``: views -> measure -> (mean, SD), spread by measure, how it was learnt."""
    text = resources.files(__package__).joinpath("normals.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
