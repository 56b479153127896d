# SPDX-License-Identifier: Apache-2.0
"""Organ labels in, the regions a judge pools its features over out; and which finding looks where.

A finding is looked for where the vocabulary puts it: an effusion at the costophrenic angles, a
large heart at the heart. With a few hundred positives that prior is worth more than a free choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import zone_mask
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.grid import ModelGrid

SIDED = ("upper", "mid", "lower", "costophrenic", "perihilar")
SINGLE = ("heart", "cardiac_silhouette", "lungs")
# The planes of a region map: each sided zone on the right, then on the left, then the single ones.
PLANES = (*(f"right_{z}" for z in SIDED), *(f"left_{z}" for z in SIDED), *SINGLE)
SHAPES = ("ratio", "heart_share", "lung_height", "heart_size", "lung_asymmetry")

_LUNGS = ("upper", "mid", "lower", "perihilar")
LOOKS_AT: dict[str, tuple[str, ...]] = {
    "cardiomegaly": ("shape", "heart", "cardiac_silhouette"),
    "pleural effusion": ("costophrenic", "lower"),
    "pulmonary edema": (*_LUNGS, "heart", "cardiac_silhouette"),
    "consolidation": (*_LUNGS, "costophrenic"),
    "pneumonia": (*_LUNGS, "costophrenic"),
    "atelectasis": ("lower", "costophrenic", "lungs"),
    "pneumothorax": ("upper", "costophrenic", "lungs"),
    "nodule": (*_LUNGS, "lungs"),
    "mass": (*_LUNGS, "lungs"),
    "lung opacity": (*_LUNGS, "costophrenic"),
}


def region_map(labels: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """S x S organ labels (0 rest, 1 right lung, 2 left lung, 3 heart) -> planes x side x side.

    Values are the covered share of each cell, 0..1; a zone that the organs do not have is 0.
    """
    organs = Organs.from_labels(labels)
    masks = [_zone(organs, zone, where) for where in ("right", "left") for zone in SIDED]
    masks += [organs.heart, _zone(organs, "cardiac_silhouette", None), organs.lungs]
    grid = ModelGrid((labels.shape[0], labels.shape[1]), side)
    return np.stack([grid.mask_to_model(mask) for mask in masks])


def _zone(organs: Organs, zone: str, side: str | None) -> NDArray[np.bool_]:
    try:
        return zone_mask(organs, zone, side)
    except UnsupportedImage:
        return np.zeros(organs.shape, bool)


def columns_of(finding: str, channels: int) -> NDArray[np.bool_]:
    """Which pooled features a finding may use.

    Pooled features are laid out as in ``networks.pooled``: ``channels`` values for each sided zone
    averaged over the sides, the same as maximum over the sides, each single region, then shapes.
    """
    chosen = LOOKS_AT[finding]
    blocks = [zone in chosen for zone in (*SIDED, *SIDED, *SINGLE)]
    shape = ["shape" in chosen] * len(SHAPES)
    return np.concatenate([np.repeat(blocks, channels), np.array(shape)])
