# SPDX-License-Identifier: Apache-2.0
"""Two decoded images in, the edited one within bounds out: this patient's greys, the finding's way.

Nothing is made brighter than the mediastinum or darker than the lungs; where a finding only adds
density nothing becomes more lucent, or the reverse; and what is added to a heart is as dense as the
heart beside it (docs/method.md 2.7, before the composite).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_cxr_cf.composite import Decoded, kappa
from monai_cxr_cf.measures.masks import BRIGHTEST, LUNGS, mediastinum

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
DARKEST = 10  # percentile of the lungs that is as dark as tissue of this patient gets
BLUR = 1.5 / 256  # of a model image's side: greys are compared after this much blur
KNEE = 8 / 255  # over this much the bounds set in
NEAR = 8 / 256  # of the side: as far as "the heart beside it" reaches


@dataclass(frozen=True)
class Greys:
    """Between which greys the tissue of one patient lies, as fractions of full range."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Reach:
    """Where one finding of a request acts, and how it moves greys."""

    region: Array  # S x S coverage 0..1
    way: int  # +1 denser, -1 more lucent, 0 both
    heart: bool = False  # what it makes is heart


@dataclass(frozen=True, eq=False)
class Bounds:
    """What every member of a series keeps to, on the model grid."""

    low: float
    high: float | Array  # S x S where a heart grows
    no_denser: Mask | None = None  # S x S: no finding that reaches here makes anything denser
    no_lucent: Mask | None = None  # or more lucent


def shown_detail(share: float, reached: Iterable[Reach]) -> float | Array:
    """How much of the source's detail shows through added density (``composite.residual``).

    None where a heart changes, S x S: its old border would show inside the new one.
    """
    hearts = [reach.region for reach in reached if reach.heart]
    if not hearts:
        return share
    return np.asarray(share * (1 - np.maximum.reduce(hearts)), np.float32)


def own_greys(image: Array, organs: Mapping[str, Array]) -> Greys:
    """From the darkest tenth of the lungs to the brightest twentieth of the mediastinum.

    Args:
        image: S x S float32 0..1, bright = dense.
        organs: right_lung, left_lung, heart -> S x S coverage 0..1. A bound whose organs cover
            nothing is infinite.
    """
    masks = {name: np.asarray(cover > 0.5) for name, cover in organs.items()}
    lungs = [masks[name] for name in LUNGS if name in masks and masks[name].any()]
    if not lungs:
        return Greys(-np.inf, np.inf)
    low = float(np.percentile(image[np.logical_or.reduce(lungs)], DARKEST))
    middle = mediastinum(masks) if len(lungs) == len(LUNGS) else np.zeros(image.shape, bool)
    high = float(np.percentile(image[middle], BRIGHTEST)) if middle.any() else np.inf
    return Greys(low, high)


def heart_greys(image: Array, heart: Mask) -> Array:
    """S x S: how dense the heart is here, or at its nearest border; infinite without a heart.

    The mean of the heart under a Gaussian of 8 / 256 of the side, carried outwards, smoothed by
    half of that.
    """
    if not heart.any():
        return np.full(image.shape, np.inf, np.float32)
    sigma = NEAR * image.shape[0]
    total, weight = (
        ndimage.gaussian_filter(plane.astype(np.float32), sigma) for plane in (image * heart, heart)
    )
    nearest = ndimage.distance_transform_edt(~heart, return_distances=False, return_indices=True)
    local = (total / np.maximum(weight, 1e-6))[tuple(nearest)]
    return np.asarray(ndimage.gaussian_filter(local, sigma / 2), np.float32)


def patient_bounds(
    image: Array, organs: Mapping[str, Array], findings: Sequence[Reach], band: float
) -> Bounds:
    """The patient's own greys, and the ways that the findings of a request do not go.

    Args:
        image: S x S float32 0..1, bright = dense.
        organs: right_lung, left_lung, heart -> S x S coverage 0..1.
        findings: of the request.
        band: pixels around a region that an edit may still change.
    """
    greys = own_greys(image, organs)
    covers = [kappa(np.asarray(item.region > 0), band) > 0 for item in findings]
    none, ways = np.zeros(image.shape, bool), [item.way for item in findings]

    def where(chosen: Iterable[bool]) -> Mask:
        picked = [cover for cover, yes in zip(covers, chosen, strict=True) if yes]
        return np.asarray(np.logical_or.reduce([none, *picked]))

    reached = where(True for _ in ways)
    grows = [item.heart and item.way > 0 for item in findings]
    high: float | Array = greys.high
    if any(grows):
        only = where(grows) & ~where(not yes for yes in grows)
        local = heart_greys(image, np.asarray(organs["heart"] > 0.5))
        high = np.where(only, np.minimum(greys.high, local), np.float32(greys.high))
    denser, lucent = (where(way != other for way in ways) for other in (-1, 1))
    return Bounds(greys.low, high, reached & ~denser, reached & ~lucent)


def within(decoded: Decoded, bounds: Bounds) -> Decoded:
    """The same, with nothing made that is brighter or darker than this patient's own tissue.

    With B a blur of 1.5 / 256 of the side, y = D(z0'), s = D(E(x)), k = 8 / 255:

        y' = y - f(B y - max(B s, high - k/2)) + f(min(B s, low + k/2) - B y)
        f(u) = 0 below 0, u^2 / 2k up to k, then u - k/2

    Where no finding goes a way, its bound is B s itself. What the source shows may stay, fine
    texture stays, and where y = s nothing changes.
    """
    sigma = BLUR * decoded.edited.shape[0]
    edited, source = (
        ndimage.gaussian_filter(image, sigma) for image in (decoded.edited, decoded.source)
    )
    ceiling = np.maximum(source, bounds.high - KNEE / 2)
    floor = np.minimum(source, bounds.low + KNEE / 2)
    if bounds.no_denser is not None:
        ceiling = np.where(bounds.no_denser, source, ceiling)
    if bounds.no_lucent is not None:
        floor = np.where(bounds.no_lucent, source, floor)
    change = _eased(floor - edited) - _eased(edited - ceiling)
    return Decoded(decoded.edited + change.astype(np.float32), decoded.source)


def _eased(u: Array) -> Array:
    """0 below 0, then u^2 / 2k up to k = ``KNEE``, u - k/2 from there."""
    u = np.maximum(u, 0)
    return np.asarray(np.where(u < KNEE, u * u / (2 * KNEE), u - KNEE / 2), np.float32)
