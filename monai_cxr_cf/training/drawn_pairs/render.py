# SPDX-License-Identifier: Apache-2.0
"""A radiograph and its organ labels in; the same radiograph with a finding drawn into it out.

Rendered pairs (with and without) teach the words of a prompt: side, zone and severity are known
exactly and everything else is equal. They are drawings, not disease, and the model card says so.
Images are SxS float32 in 0..1, bright = dense; labels 0 rest, 1 right lung, 2 left lung, 3 heart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from monai_cxr_cf.training.drawn_pairs.drawing import (
    Drawing,
    Image,
    Labels,
    box,
    cloud,
    paint,
    soft,
    zone_centre,
)
from monai_cxr_cf.training.drawn_pairs.lungframe import Chest
from monai_cxr_cf.training.drawn_pairs.shares import invent
from monai_cxr_cf.training.drawn_pairs.transplant import Opacity, transplant
from monai_cxr_cf.training.drawn_pairs.warping import enlarge_heart


def draw(
    image: Image, labels: Labels, drawing: Drawing, *, rng: np.random.Generator
) -> tuple[Image, Image]:
    """The image with the finding and the weight 0..1 of where it was drawn."""
    return draw_in(Chest(image, labels), drawing, rng=rng)


def draw_in(
    chest: Chest, drawing: Drawing, *, rng: np.random.Generator, image: Image | None = None
) -> tuple[Image, Image]:
    """``draw`` for a chest already looked at; ``image`` may hold another finding of it."""
    image = chest.image if image is None else image
    if drawing.finding == "cardiomegaly":
        image, weight, _ = enlarge_heart(image, chest.labels, drawing.severity, view="", rng=rng)
        return image, weight
    sides = ("right", "left") if drawing.side == "bilateral" else (drawing.side or "left",)
    weight = np.zeros_like(image)
    for side in sides:
        image, touched = PAINTERS[drawing.finding](chest, image, side, drawing, rng)
        weight = np.maximum(weight, touched)
    return np.clip(image, 0, 1).astype(np.float32), weight.astype(np.float32)


def _opacity(
    chest: Chest, image: Image, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """An invented opacity, put in as real ones are."""
    what = Drawing(drawing.finding, side, drawing.zone, drawing.severity)
    return transplant(chest, Opacity(what, invent(drawing, rng)), rng=rng, image=image)


def _pneumothorax(
    chest: Chest, image: Image, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Air along apex and lateral wall: no vessels, darker, with a thin pleural line."""
    lung = chest.lung(side)
    top, bottom, left, right = box(lung)
    depth = {"mild": 0.08, "moderate": 0.17, "severe": 0.34}[drawing.severity] * rng.uniform(
        0.85, 1.15
    )
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    medial, fixed = (
        (right if side == "right" else left),
        top + rng.uniform(0.75, 0.95) * (bottom - top),
    )
    distance = distance_transform_edt(lung) - distance_transform_edt(~lung)
    shrunk = [fixed + (rows - fixed) / (1 - 0.8 * depth), medial + (columns - medial) / (1 - depth)]
    signed = map_coordinates(distance, shrunk, order=1, mode="nearest")
    signed = 1.5 * cloud(image.shape, rng, 16) - signed  # > 0 outside the collapsed lung
    inside = soft(lung, 0.8)
    air = inside / (1 + np.exp(-np.clip(signed / 0.8, -30, 30)))
    line = np.exp(-((signed / 1.1) ** 2)) * inside * (distance > 3)
    vessels = np.clip(gaussian_filter(image, 0.7) - gaussian_filter(image, 2.5), 0, None)
    dark = np.maximum(image - vessels, 0) * rng.uniform(0.78, 0.9) - rng.uniform(0.0, 0.03)
    out = image + air * (np.maximum(dark, 0.03) - image) + line * rng.uniform(0.06, 0.11)
    inner = lung * (1 - air)
    return out + inner * 0.03 * (1 + (drawing.severity == "severe")), air


def _round(
    chest: Chest, image: Image, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """A round opacity with a fairly sharp rim: nodule or, larger, mass."""
    lung = chest.lung(side)
    row, column, *_ = zone_centre(lung, drawing.zone or "mid", rng)
    radius = rng.uniform(13, 22) if drawing.finding == "mass" else rng.uniform(5, 9)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    distance = np.hypot((rows - row) * rng.uniform(0.85, 1.15), columns - column)
    distance = distance + 0.08 * radius * cloud(image.shape, rng, 5)
    body = 1 / (1 + np.exp(np.clip((distance - radius) / 1.4, -30, 30)))
    alpha = (body * rng.uniform(0.6, 0.85) * soft(lung, 1.2)).astype(np.float32)
    return paint(image, alpha, chest.field(side), rng), body * lung


Painter = Callable[[Chest, Image, str, Drawing, np.random.Generator], tuple[Image, Image]]
PAINTERS: dict[str, Painter] = {
    "effusion": _opacity,
    "consolidation": _opacity,
    "edema": _opacity,
    "pneumothorax": _pneumothorax,
    "atelectasis": _opacity,
    "nodule": _round,
    "mass": _round,
}
