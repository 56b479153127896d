# SPDX-License-Identifier: Apache-2.0
"""Real radiographs with opaque lungs in; their opacity carried into other lungs, or taken away.

How opaque a lung is at each place (0 = as clear as healthy lungs, 1 = soft tissue) is measured in
the common lung frame against the mean of healthy lungs. That map, real in shape and texture, is
what is transplanted: the receiving lung turns towards its own surrounding tissue by that share, so
ribs and levels stay the receiver's. Healing goes the other way, with the lung of a healthy patient.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from monai_cxr_cf.training.drawn_pairs.drawing import (
    LUNG,
    SEVERITIES,
    Drawing,
    Image,
    box,
    drawable,
    soft,
    tissue,
)
from monai_cxr_cf.training.drawn_pairs.lungframe import (
    FRAME,
    INSIDE,
    MARGIN,
    Chest,
    fluid_field,
    lung_level,
    spread_out,
)

BANDS = {"upper": (0.0, 0.36), "mid": (0.36, 0.66), "lower": (0.66, 1.0)}  # of the frame's lung
# Mean opacity (of the whole lung for fluid, of its zone else) from which a degree is called so.
_DEGREES = {
    "effusion": (0.04, 0.13, 0.28),
    "consolidation": (0.17, 0.28, 0.44),
    "edema": (0.05, 0.13, 0.24),
}
_CLEAR = 0.14  # mean opacity below which a zone counts as healthy
_HEAL_FROM = 0.1
_BODY = 0.38
_INWARD = np.linspace(-0.14, 1.14, FRAME[1], dtype=np.float32)[None]  # wall 0, heart 1
_DOWN = np.linspace(-0.07, 1.07, FRAME[0], dtype=np.float32)[:, None]  # apex 0, base 1
_SAG = 14 * (1 - np.clip(1 - _INWARD, 0, 1) ** 2)  # rows that a surface lies lower than at the wall
# Share of ribs and vessels that is seen through; oedema hides none of them.
_KEPT = {"effusion": 0.25, "edema": 1.0}
_KEPT_ELSE = 0.45
_ANGLE = (_DOWN > 0.84) & (_INWARD < 0.4)
# Great vessels and hila lie along the upper medial border: bright there means nothing.
_NOT_HILAR = 1 - np.clip((_INWARD - 0.66) / 0.2, 0, 1) * np.clip((0.75 - _DOWN) / 0.15, 0, 1)


@dataclass(frozen=True)
class Healthy:
    """What healthy lungs look like at most, in units of (level - lung) / (tissue - lung)."""

    upper: dict[str, Image]  # side -> (128, 72): mean and a standard deviation

    @staticmethod
    def of(examples: Iterable[Chest]) -> Healthy:
        """From radiographs without findings."""
        upper, examples = {}, list(examples)
        for side in LUNG:
            lungs = np.stack([_normalised(chest, side) for chest in examples]).clip(-0.5, 1.2)
            upper[side] = gaussian_filter(lungs.mean(0) + lungs.std(0), 2.0).clip(0, 0.8)
        return Healthy(upper)


@dataclass(frozen=True)
class Opacity:
    """An opacity in the frame: what it is called, and 0..1 how much of the lung is lost where."""

    what: Drawing
    share: Image  # (128, 72)


def _levels(chest: Chest, side: str) -> tuple[float, float]:
    """Grey level of clear lung and, beyond it, of the tissue around a lung."""
    low = lung_level(chest.image, chest.labels)
    return low, max(low + 0.1, tissue(chest.image, chest.labels, chest.lung(side)))


def _normalised(chest: Chest, side: str) -> Image:
    """A lung in the frame: 0 at the level of clear lung, 1 at that of its surrounding tissue."""
    low, high = _levels(chest, side)
    return np.asarray((chest.frame(side).pull(chest.image) - low) / (high - low), np.float32)


def measure(chest: Chest, side: str, healthy: Healthy) -> Image:
    """Opacity 0..1 in the frame beyond what healthy lungs show there; specks count as none."""
    usual = healthy.upper[side]
    excess = (_normalised(chest, side) - usual) / np.maximum(1.0 - usual, 0.3)
    excess = spread_out(excess * _NOT_HILAR)
    body = gaussian_filter(excess, 3.5)
    trust = np.clip((body - 0.12) / 0.2, 0, 1)
    detail = np.clip(0.55 * excess + 0.45 * gaussian_filter(excess, 2.0), 0, 1)
    return np.asarray(detail * trust * trust * (3 - 2 * trust), np.float32)


def zone_opacity(share: Image) -> dict[str, float]:
    """Mean opacity of each zone of a lung in the frame."""
    height = FRAME[0] - 2 * MARGIN
    found = {}
    for zone, (low, high) in BANDS.items():
        rows = slice(MARGIN + int(low * height), MARGIN + int(high * height))
        found[zone] = float(share[rows][INSIDE[rows]].mean())
    return found


def strength(share: Image, zone: str) -> float:
    """The number that decides the degree: mean opacity of the whole lung, or of its zone."""
    zones = zone_opacity(share)
    return zones[zone] if zone else float(share[INSIDE].mean())


def degree(finding: str, amount: float) -> str:
    """mild, moderate, severe, or "" where there is too little to see."""
    steps = _DEGREES.get(finding, _DEGREES["consolidation"])
    reached = sum(amount >= step for step in steps)
    return ("", *SEVERITIES)[reached]


def fluid(share: Image, side: str) -> Opacity | None:
    """The effusion in an opacity map: dense at base and lateral angle, nothing at the top."""
    angle = float(share[_ANGLE & INSIDE].mean())
    zones = zone_opacity(share)
    if angle < 0.42 or zones["lower"] < 0.14 or zones["upper"] > 0.35:
        return None
    # Fluid lies under fluid: below an opaque place nothing is clear.
    filled = np.maximum.accumulate(gaussian_filter(share, 1.5), axis=0)
    smooth = gaussian_filter(np.maximum(share, 0.92 * filled), 2.0)  # it is not mottled
    kept = np.asarray(smooth * _from_row(_surface(share) + _SAG), np.float32)
    word = degree("effusion", strength(kept, ""))
    return Opacity(Drawing("effusion", side, "", word), kept) if word else None


def _surface(share: Image) -> float:
    """Frame row above which an effusion's opacity no longer belongs to the fluid."""
    profile = gaussian_filter(share[:, MARGIN:-MARGIN].mean(1), 3)
    clear = np.flatnonzero(profile[: FRAME[0] - 2 * MARGIN] < 0.25)
    return float(clear[-1]) - 10 if len(clear) else 0.2 * FRAME[0]


def _from_row(row: float | Image) -> Image:
    rows = np.arange(FRAME[0], dtype=np.float32)[:, None]
    return np.asarray(1 / (1 + np.exp(-np.clip((rows - row) / 5, -30, 30))), np.float32)


def solid(share: Image, side: str, zone: str) -> Opacity | None:
    """The consolidation of one zone in an opacity map, cut softly from what lies elsewhere."""
    low, high = (MARGIN + part * (FRAME[0] - 2 * MARGIN) for part in BANDS[zone])
    window = _from_row(low + 2 if zone != "upper" else -30)
    window = window * (1 - _from_row(high - 2 if zone != "lower" else FRAME[0] + 40))
    kept = np.asarray(share * window, np.float32)
    word = degree("consolidation", zone_opacity(kept)[zone])
    if not word or gaussian_filter(kept, 5).max() < _BODY:  # a rim along the wall is no patch
        return None
    return Opacity(Drawing("consolidation", side, zone, word), kept)


def look(chest: Chest, healthy: Healthy) -> dict[str, Image]:
    """Side -> opacity map, both lungs."""
    return {side: measure(chest, side, healthy) for side in LUNG}


def opacities(shares: dict[str, Image], findings: Collection[str]) -> list[Opacity]:
    """What a radiograph labelled with ``findings`` can give; ``shares`` as ``look`` gives them."""
    found: list[Opacity | None] = []
    amounts = [strength(share, "") for share in shares.values()]
    if (
        "edema" in findings
        and min(amounts) > _DEGREES["edema"][0]
        and max(amounts) < 2.2 * min(amounts)
    ):
        both = np.concatenate([0.8 * shares["right"], 0.8 * shares["left"]], axis=1)
        word = degree("edema", sum(amounts) / 2)
        found.append(Opacity(Drawing("edema", "bilateral", "", word), both) if word else None)
    for side, share in shares.items():
        water = fluid(share, side)
        if "effusion" in findings:
            found.append(water)
        if "consolidation" in findings:  # what looks like fluid is not taken for solid lung
            zones = BANDS if water is None else () if "effusion" in findings else ("upper", "mid")
            found += [solid(share, side, zone) for zone in zones]
    return [opacity for opacity in found if opacity is not None]


def transplant(
    chest: Chest, opacity: Opacity, *, rng: np.random.Generator, image: Image | None = None
) -> tuple[Image, Image]:
    """The chest's image (or ``image``, of the same chest) with the opacity; the weight of where.

    ``opacity.what.side`` decides the lung; the map itself serves both sides. It reaches the
    borders of the lung; ribs are seen through it, and fluid hides the border of the diaphragm.
    """
    out = chest.image if image is None else image
    weight, what = np.zeros_like(out), opacity.what
    sides = ("right", "left") if what.side == "bilateral" else (what.side,)
    halves = np.split(opacity.share, 2, axis=1) if len(sides) == 2 else [opacity.share]
    for side, share in zip(sides, halves, strict=True):
        alpha = chest.frame(side).push(share * rng.uniform(0.95, 1.15))
        alpha = np.clip(alpha, 0, 0.94) * chest.edge(side, wide=True)
        wet = what.finding == "effusion"
        level = fluid_field(chest, side) if wet else chest.field(side)
        smooth = out - _KEPT.get(what.finding, _KEPT_ELSE) * detail(out, chest.lung(side))
        out = out + alpha * np.maximum(level - smooth, -0.06 if wet else 0.0)
        if wet:
            out = drown(out, alpha, chest.lung(side))
        weight = np.maximum(weight, np.clip(gaussian_filter(alpha, 2) * 1.6, 0, 1))
    return np.clip(out, 0, 1).astype(np.float32), weight.astype(np.float32)


def detail(image: Image, lung: NDArray[np.bool_]) -> Image:
    """Ribs and vessels of a lung: what a Gaussian of its own pixels takes away; 0 elsewhere."""
    inside = lung.astype(np.float32)
    mean = gaussian_filter(image * inside, 4.0) / np.maximum(gaussian_filter(inside, 4.0), 1e-3)
    return np.asarray((image - mean) * soft(lung, 1.6) * inside, np.float32)


def drown(image: Image, alpha: Image, lung: NDArray[np.bool_]) -> Image:
    """The image with the border below fluid washed out: nothing dark lies on the diaphragm."""
    below, inside = np.zeros_like(alpha), alpha * lung
    for rows in range(0, 10, 3):
        below[rows:] = np.maximum(below[rows:], inside[: len(alpha) - rows] * (1 - rows / 14))
    below = gaussian_filter(below * ~lung, 1.0)
    top, bottom, *_ = box(lung)
    below[: top + (bottom - top) // 2] = 0
    return np.asarray(image + below * (gaussian_filter(image, 7.0) - image), np.float32)


def visible(chest: Chest, drawn: Image, side: str) -> float:
    """Share of a lung that a finding made clearly brighter (by more than .045 of full range)."""
    change = gaussian_filter(drawn - chest.image, 2.5)
    return float((change > 0.045)[chest.lung(side)].mean())


def heal(
    chest: Chest, opacity: Opacity, *, donor: Chest, rng: np.random.Generator
) -> tuple[Image, Image]:
    """The image with the lung of a healthy ``donor`` where the opacity was, and the weight of it.

    Levels are the receiver's: clear lung to clear lung, surrounding tissue to surrounding tissue.
    """
    out, weight = chest.image, np.zeros_like(chest.image)
    sides = ("right", "left") if opacity.what.side == "bilateral" else (opacity.what.side,)
    for side, share in zip(sides, np.split(opacity.share, len(sides), axis=1), strict=True):
        low, high = _levels(chest, side)
        lung = chest.frame(side).push(_normalised(donor, side))
        clear = low + lung * (high - low) + rng.uniform(0, 0.02)
        wide = gaussian_filter(np.clip((share - 0.04) / _HEAL_FROM, 0, 1), 2.5)
        alpha = np.clip(1.5 * chest.frame(side).push(wide), 0, 1)
        alpha = gaussian_filter(alpha, 2.0) * chest.edge(side, wide=True)
        out, weight = out + alpha * (clear - out), np.maximum(weight, alpha)
    return np.clip(out, 0, 1).astype(np.float32), weight.astype(np.float32)


def treatable(shares: dict[str, Image], findings: Collection[str]) -> list[Opacity]:
    """Opacities of one lung, whole, where the other lung is clear: what ``heal`` can take away."""
    amounts = {side: max(zone_opacity(share).values()) for side, share in shares.items()}
    worse = max(amounts, key=lambda side: amounts[side])
    if min(amounts.values()) > _CLEAR or amounts[worse] < _DEGREES["consolidation"][0]:
        return []
    share, water = shares[worse], fluid(shares[worse], worse)
    if water is not None and "effusion" in findings:
        return [replace(water, share=np.maximum(water.share, share))]
    zones = zone_opacity(share)
    zone = max(zones, key=lambda name: zones[name])
    patch = solid(share, worse, zone)
    if water is not None or patch is None or "consolidation" not in findings:
        return []
    return [replace(patch, share=share)]


def is_clear(chest: Chest, healthy: Healthy) -> bool:
    """Whether both lungs can receive a finding: well mapped, dark, and opaque in no zone."""
    if not all(drawable(chest.image, chest.labels, side) for side in LUNG.values()):
        return False
    shares = look(chest, healthy).values()
    return all(max(zone_opacity(share).values()) < _CLEAR for share in shares)
