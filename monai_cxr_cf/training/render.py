# SPDX-License-Identifier: Apache-2.0
"""A radiograph and its organ labels in; the same radiograph with a finding drawn into it out.

Rendered pairs (with and without) teach the words of a prompt: side, zone and severity are known
exactly and everything else is equal. They are drawings, not disease, and the model card says so.
Images are SxS float32 in 0..1, bright = dense; labels 0 rest, 1 right lung, 2 left lung, 3 heart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    distance_transform_edt,
    gaussian_filter,
    gaussian_filter1d,
    map_coordinates,
)

from monai_cxr_cf.training.drawing import (
    LUNG,
    Drawing,
    Image,
    Labels,
    box,
    cloud,
    paint,
    soft,
    tissue,
    zone_centre,
)


def draw(
    image: Image, labels: Labels, drawing: Drawing, *, rng: np.random.Generator
) -> tuple[Image, Image]:
    """The image with the finding and the weight 0..1 of where it was drawn."""
    painter = PAINTERS[drawing.finding]
    sides = ("right", "left") if drawing.side == "bilateral" else (drawing.side or "left",)
    weight = np.zeros_like(image)
    for side in sides:
        image, touched = painter(image, labels, side, drawing, rng)
        weight = np.maximum(weight, touched)
    return np.clip(image, 0, 1).astype(np.float32), weight.astype(np.float32)


def _effusion(
    image: Image, labels: Labels, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Fluid under a meniscus that rises to the lateral wall and hides diaphragm and angle."""
    lung = labels == LUNG[side]
    top, bottom, left, right = box(lung)
    low, high = {"mild": (0.14, 0.24), "moderate": (0.3, 0.45), "severe": (0.52, 0.75)}[
        drawing.severity
    ]
    height = rng.uniform(low, high) * (bottom - top)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    lateral = (columns - left) / max(1, right - left)
    if side == "right":  # the patient's right lung lies on the image's left, its wall at ``left``
        lateral = 1 - lateral
    lateral = np.clip(lateral, 0, 1)
    base = rng.uniform(0.25, 0.55) if drawing.severity == "mild" else rng.uniform(0.6, 0.8)
    surface = bottom - height * (base + (1 - base) * lateral ** rng.uniform(1.6, 3.0))
    surface = surface + 1.2 * gaussian_filter1d(rng.standard_normal(image.shape[1]), 12)[None] * 3
    softness = rng.uniform(4, 9) * (1.6 - 0.8 * lateral)
    depth = 1 / (1 + np.exp(-np.clip((rows - surface) / softness * 2.2, -30, 30)))
    area = binary_dilation(lung, iterations=5)
    alpha = depth * soft(area, 2.0) * rng.uniform(0.86, 0.97)
    alpha = np.where(rows > bottom + 2, alpha * 0.6, alpha).astype(np.float32)
    under = lung[bottom - 12 : bottom - 2].any(0)
    belly = float(np.median(image[bottom + 4 : bottom + 18, under])) if bottom < 236 else 0.0
    level = tissue(image, labels, lung)
    deep = np.clip((rows - surface) / (0.8 * height), 0, 1)
    return paint(image, alpha, level + deep * max(0.0, belly - 0.03 - level), rng), alpha


def _consolidation(
    image: Image, labels: Labels, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """A cloudy opacity in one zone, soft-edged, patchy when mild and dense when severe."""
    lung = labels == LUNG[side]
    row, column, half_height, half_width = zone_centre(lung, drawing.zone or "lower", rng)
    size = {"mild": 0.75, "moderate": 0.95, "severe": 1.2}[drawing.severity] * rng.uniform(0.9, 1.1)
    strength = {"mild": 0.45, "moderate": 0.66, "severe": 0.86}[drawing.severity]
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    radius = np.hypot((rows - row) / (half_height * size), (columns - column) / (half_width * size))
    ragged = radius + 0.2 * cloud(image.shape, rng, 7) + 0.1 * cloud(image.shape, rng, 3)
    body = 1 / (1 + np.exp(np.clip((ragged - 0.85) * rng.uniform(5, 9), -30, 30)))
    patchy = np.clip(1 + 0.22 * cloud(image.shape, rng, 4), 0.3, 1.3)
    alpha = np.clip(body * patchy * strength, 0, 0.93) * soft(lung, 1.8)
    level = tissue(image, labels, lung) - rng.uniform(0.0, 0.06)
    return paint(image, alpha.astype(np.float32), level, rng), body * lung


def _cardiomegaly(
    image: Image, labels: Labels, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """The heart borders move outward, the left one most: new silhouette over the medial lungs."""
    lungs = (labels == 1) | (labels == 2)
    _, _, left, right = box(lungs)
    low, high = {"mild": (0.05, 0.08), "moderate": (0.09, 0.13), "severe": (0.15, 0.21)}[
        drawing.severity
    ]
    reach = rng.uniform(low, high) * (right - left)
    weight = np.zeros_like(image)
    for name, share in (("left", 1.0), ("right", rng.uniform(0.2, 0.5))):
        weight = np.maximum(weight, _heart_border(labels, name, reach * share, rng))
    edge = _medial_edge(labels == 2, "left").astype(int)
    strip = [image[y, max(0, x - 20) : max(1, x - 4)].mean() for y, x in enumerate(edge)]
    level = gaussian_filter1d(np.array(strip, np.float32), 6)[:, None] - rng.uniform(0.0, 0.03)
    level = np.maximum(level, gaussian_filter(image, 4) + 0.02)
    return paint(image, 0.93 * weight, level, rng), weight


def _medial_edge(lung: NDArray[np.bool_], side: str) -> NDArray[np.float32]:
    """Column of a lung's medial border per row, smoothed; below 60 % not along the diaphragm."""
    top, bottom, *_ = box(lung)
    reverse = lung.shape[1] - 1 - lung[:, ::-1].argmax(1)
    edge = (lung.argmax(1) if side == "left" else reverse).astype(np.float32)
    inside = lung.any(1)
    first, last = np.flatnonzero(inside)[[0, -1]]
    edge[:first], edge[last + 1 :] = edge[first], edge[last]
    for row in range(int(top + 0.6 * (bottom - top)), len(edge)):
        edge[row] = np.clip(edge[row], edge[row - 1] - 0.6, edge[row - 1] + 0.6)
    return gaussian_filter1d(edge, 4)


def _heart_border(labels: Labels, side: str, reach: float, rng: np.random.Generator) -> Image:
    """Weight of what a lung loses when its medial border moves outward by up to ``reach``."""
    lung = labels == LUNG[side]
    top, bottom, *_ = box(lung)
    rows = np.arange(labels.shape[0], dtype=np.float32)
    share = (rows - top) / max(1, bottom - top)
    peak, start = rng.uniform(0.78, 0.88), rng.uniform(0.34, 0.44)
    rise = np.clip((share - start) / (peak - start), 0, 1)
    bump = (rise * rise * (3 - 2 * rise)) ** 0.8 * np.where(share > peak, 1 - 2 * (share - peak), 1)
    sign = 1 if side == "left" else -1
    border = _medial_edge(lung, side) + sign * reach * bump
    columns = np.arange(labels.shape[1], dtype=np.float32)[None]
    beyond = (border[:, None] - columns) * sign
    body = 1 / (1 + np.exp(-np.clip(beyond / 1.1, -30, 30)))
    area = binary_dilation(lung, iterations=2)
    fade = np.clip((share - start) / 0.12, 0, 1)[:, None]
    return (body * soft(area, 1.2) * fade * (rows <= bottom + 2)[:, None]).astype(np.float32)


def _edema(
    image: Image, labels: Labels, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Perihilar haze fading outward, with interstitial streaks; drawn on both sides."""
    lung = labels == LUNG[side]
    top, bottom, left, right = box(lung)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    medial = right if side == "right" else left
    spread = {"mild": 0.55, "moderate": 0.7, "severe": 0.9}[drawing.severity]
    strength = {"mild": 0.36, "moderate": 0.55, "severe": 0.75}[drawing.severity]
    radius = np.hypot(
        (rows - top - rng.uniform(0.52, 0.62) * (bottom - top)) / (spread * 0.75 * (bottom - top)),
        (columns - medial) / (spread * 1.15 * (right - left)),
    )
    body = np.exp(-((radius + 0.12 * cloud(image.shape, rng, 9)) ** 2) * 1.1)
    streaks = gaussian_filter(rng.standard_normal(image.shape), (1.0, 1.0)) * 3
    texture = np.clip(1 + 0.25 * cloud(image.shape, rng, 3.0) + 0.12 * streaks, 0.2, 1.6)
    alpha = (np.clip(body * texture * strength, 0, 0.85) * soft(lung, 1.6)).astype(np.float32)
    return paint(image, alpha, tissue(image, labels, lung) - 0.04, rng), body * lung


def _pneumothorax(
    image: Image, labels: Labels, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Air along apex and lateral wall: no vessels, darker, with a thin pleural line."""
    lung = labels == LUNG[side]
    top, bottom, left, right = box(lung)
    depth = {"mild": 0.12, "moderate": 0.22, "severe": 0.4}[drawing.severity] * rng.uniform(
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
    smooth = gaussian_filter(image, 2.2)
    dark = 0.35 * image + 0.65 * smooth - rng.uniform(0.08, 0.14)
    out = image + air * (np.maximum(dark, 0.03) - image) + line * rng.uniform(0.07, 0.13)
    inner = lung * (1 - air)
    return out + inner * 0.03 * (1 + (drawing.severity == "severe")), air


def _atelectasis(
    image: Image, labels: Labels, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """Plate-like bands above the diaphragm, with haze under them when severe."""
    lung = labels == LUNG[side]
    row, column, half_height, half_width = zone_centre(lung, drawing.zone or "lower", rng)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    alpha = np.zeros_like(image)
    for _ in range({"mild": 1, "moderate": 2, "severe": 3}[drawing.severity]):
        angle = rng.uniform(-0.35, 0.35)
        down, across = rows - row - rng.uniform(-0.5, 0.8) * half_height, columns - column
        along = across * np.cos(angle) + down * np.sin(angle)
        off = -across * np.sin(angle) + down * np.cos(angle) + 1.2 * cloud(image.shape, rng, 12)
        width, length = rng.uniform(2.0, 4.0), rng.uniform(0.55, 0.95) * half_width
        band = np.exp(-((off / width) ** 2) - (along / length) ** 4)
        alpha = np.maximum(alpha, band * rng.uniform(0.5, 0.75))
    haze = np.exp(-(((rows - row - 0.6 * half_height) / half_height) ** 2)) * (
        rows > row - half_height
    )
    alpha = np.maximum(
        alpha, haze * {"mild": 0.1, "moderate": 0.25, "severe": 0.45}[drawing.severity]
    )
    alpha = (alpha * soft(lung, 1.5)).astype(np.float32)
    return paint(image, alpha, tissue(image, labels, lung), rng), np.clip(alpha * 2, 0, 1)


def _round(
    image: Image, labels: Labels, side: str, drawing: Drawing, rng: np.random.Generator
) -> tuple[Image, Image]:
    """A round opacity with a fairly sharp rim: nodule or, larger, mass."""
    lung = labels == LUNG[side]
    row, column, *_ = zone_centre(lung, drawing.zone or "mid", rng)
    radius = rng.uniform(13, 22) if drawing.finding == "mass" else rng.uniform(5, 9)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    distance = np.hypot((rows - row) * rng.uniform(0.85, 1.15), columns - column)
    distance = distance + 0.08 * radius * cloud(image.shape, rng, 5)
    body = 1 / (1 + np.exp(np.clip((distance - radius) / 1.4, -30, 30)))
    alpha = (body * rng.uniform(0.6, 0.85) * soft(lung, 1.2)).astype(np.float32)
    return paint(image, alpha, tissue(image, labels, lung), rng), body * lung


Painter = Callable[[Image, Labels, str, Drawing, np.random.Generator], tuple[Image, Image]]
PAINTERS: dict[str, Painter] = {
    "effusion": _effusion,
    "consolidation": _consolidation,
    "cardiomegaly": _cardiomegaly,
    "edema": _edema,
    "pneumothorax": _pneumothorax,
    "atelectasis": _atelectasis,
    "nodule": _round,
    "mass": _round,
}
