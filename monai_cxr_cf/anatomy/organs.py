# SPDX-License-Identifier: Apache-2.0
"""Label images in, named and cleaned organ masks out, refused when they cannot be a chest.

Left and right are the patient's: they follow the label, never the side of the image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_cxr_cf.errors import BadRequest, UnsupportedImage
from monai_cxr_cf.measures.masks import box_of, cardiothoracic_ratio, centre_of

Mask = NDArray[np.bool_]
Limits = Mapping[str, tuple[float, float]]
NAMES = ("right_lung", "left_lung", "heart")
ADVICE = (
    "Check that it is an upright frontal chest. If it is, see what was found with cxr-cf segment, "
    "correct labels.png and pass it on with --masks; with --roi as well nothing is refused."
)
PLAIN = {  # what each measure is, in words
    "lungs_share": "share of the picture that the lungs cover",
    "lung_log_ratio": "size of the right lung against the left one, as a logarithm",
    "heart_to_lungs": "size of the heart against the lungs",
    "lung_distance": "distance of the lungs against their size",
    "lung_tilt": "height of one lung over the other",
    "heart_along": "place of the heart between right (0) and left lung (1)",
    "heart_below": "depth of the heart below the middle of the lungs",
    "cardiothoracic_ratio": "width of the heart against that of the chest",
    "right_elongation": "height of the right lung against its width, as a logarithm",
    "right_fill": "fullness of the right lung's outline",
    "left_elongation": "height of the left lung against its width, as a logarithm",
    "left_fill": "fullness of the left lung's outline",
    "agreement": "agreement of the network with itself",
}


@dataclass(frozen=True, eq=False)
class Organs:
    """Right lung, left lung and heart: H x W bool on one grid, without overlap."""

    right_lung: Mask
    left_lung: Mask
    heart: Mask

    def __post_init__(self) -> None:
        shapes = {mask.shape for mask in (self.right_lung, self.left_lung, self.heart)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise BadRequest(
                f"Organ masks have the shapes {sorted(shapes)}.",
                hint="All organs must lie on one H x W grid.",
            )

    @classmethod
    def from_labels(cls, labels: NDArray[np.integer]) -> Organs:
        """H x W integers: 1 the patient's right lung, 2 left lung, 3 heart, anything else rest."""
        return cls(*(labels == value for value in (1, 2, 3)))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.heart.shape[0], self.heart.shape[1]

    @property
    def lungs(self) -> Mask:
        """Both lungs, H x W bool."""
        return self.right_lung | self.left_lung

    @property
    def union(self) -> Mask:
        """Lungs and heart, H x W bool."""
        return self.lungs | self.heart

    def as_dict(self) -> dict[str, Mask]:
        """Mask by name: right_lung, left_lung, heart."""
        return {name: getattr(self, name) for name in NAMES}

    def labels(self) -> NDArray[np.uint8]:
        """H x W uint8, the inverse of ``from_labels``; overlaps go to the heart."""
        out = np.zeros(self.shape, np.uint8)
        for value, name in enumerate(NAMES, 1):
            out[getattr(self, name)] = value
        return out

    def clean(self) -> Organs:
        """Largest piece of each organ with its holes filled; overlaps go to the heart."""
        heart = _largest(self.heart)
        right = _largest(self.right_lung & ~heart) & ~heart
        left = _largest(self.left_lung & ~heart & ~right) & ~heart & ~right
        return Organs(right, left, heart)

    def replaced(self, masks: Mapping[str, Mask]) -> Organs:
        """User masks win: the named organs are taken from ``masks`` and cut out of the others.

        Raises:
            BadRequest: a mask of another shape.
        """
        given = {name: np.asarray(masks[name], bool) for name in NAMES if name in masks}
        if not given:
            return self
        taken = np.zeros(self.shape, bool)
        for name, mask in given.items():
            if mask.shape != self.shape:
                raise BadRequest(
                    f"The {name} mask is {mask.shape}, the image {self.shape}.",
                    hint="Masks must lie on the source's own pixel grid.",
                )
            taken |= mask
        return Organs(**{name: given.get(name, getattr(self, name) & ~taken) for name in NAMES})


def measures(organs: Organs) -> dict[str, float]:
    """What plausibility is judged by; lengths and areas are relative, so no spacing is needed.

    The axis runs from the right lung's centroid (0) to the left one's (1), so a mirrored image
    measures the same; "below" is towards the feet in units of that axis.

    Raises:
        UnsupportedImage: an organ is missing.
    """
    missing = [name for name, mask in organs.as_dict().items() if not mask.any()]
    if missing:
        raise UnsupportedImage(
            f"No {' and no '.join(name.replace('_', ' ') for name in missing)} was found.",
            code="implausible_anatomy",
            hint=ADVICE,
        )
    right, left, heart = (centre_of(mask) for mask in organs.as_dict().values())
    axis = left - right
    length = max(float(np.hypot(*axis)), 1.0)
    areas = [float(mask.sum()) for mask in organs.as_dict().values()]
    lungs = areas[0] + areas[1]
    found = {
        "lungs_share": lungs / organs.heart.size,
        "lung_log_ratio": float(np.log(areas[0] / areas[1])),
        "heart_to_lungs": areas[2] / lungs,
        "lung_distance": length / np.sqrt(lungs),
        "lung_tilt": float(axis[0]) / length,
        "heart_along": float((heart - right) @ axis) / length**2,
        "heart_below": float(heart[0] - (right[0] + left[0]) / 2) / length,
        "cardiothoracic_ratio": cardiothoracic_ratio(organs.as_dict()) or 0.0,
    }
    for name, mask in (("right", organs.right_lung), ("left", organs.left_lung)):
        height, width = _extent(mask, 1), _extent(mask, 0)
        found[f"{name}_elongation"] = float(np.log(height / width))
        found[f"{name}_fill"] = float(mask.sum()) / (height * width)
    return {name: round(float(value), 4) for name, value in found.items()}


@cache
def learnt_limits() -> Limits:
    """Lowest and highest plausible value of each measure, from ``limits.json``.

    Learnt by ``python -m monai_cxr_cf.anatomy.learn_limits`` from the training images.
    """
    text = resources.files(__package__).joinpath("limits.json").read_text(encoding="utf-8")
    return {name: (low, high) for name, (low, high) in json.loads(text)["limits"].items()}


def check(
    organs: Organs, limits: Limits | None = None, *, agreement: float | None = None
) -> dict[str, float]:
    """The measures of a plausible segmentation.

    Args:
        organs: what was found.
        limits: lowest and highest value by measure; None takes the learnt ones.
        agreement: how far the segmenter agrees with itself, 0..1; None for masks drawn by a user.

    Raises:
        UnsupportedImage: code ``implausible_anatomy``: an organ is missing, or a measure lies
            outside its limits; the message names each one. A heart on the right is none.
    """
    limits = learnt_limits() if limits is None else limits
    found = measures(organs)
    if agreement is not None:
        found["agreement"] = round(agreement, 4)
    outside = [
        f"{PLAIN[name]} ({found[name]:.2f}, plausible {low:.2f} to {high:.2f})"
        for name, (low, high) in limits.items()
        if name in found and not low <= found[name] <= high and not _mirrors(name, found, limits)
    ]
    if outside:
        raise UnsupportedImage(
            f"This does not look like a frontal chest: {'; '.join(outside)}.",
            code="implausible_anatomy",
            hint=ADVICE,
        )
    return found


def _mirrors(name: str, found: Mapping[str, float], limits: Limits) -> bool:
    """A heart as far to the right as others lie to the left is a warning, not a refusal."""
    return name == "heart_along" and 1 - limits[name][1] <= found[name] <= limits[name][1]


def _largest(mask: Mask) -> Mask:
    """The largest connected piece without holes."""
    near = box_of(mask)
    pieces, count = ndimage.label(mask[near])
    kept = mask[near]
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        kept = pieces == 1 + int(np.argmax(sizes[1:]))
    found = np.zeros(mask.shape, bool)
    found[near] = ndimage.binary_fill_holes(kept)
    return found


def _extent(mask: Mask, axis: int) -> int:
    """Rows (axis 1) or columns (axis 0) from the first to the last one that the mask touches."""
    touched = np.flatnonzero(mask.any(axis))
    return int(touched[-1] - touched[0] + 1) if touched.size else 0
