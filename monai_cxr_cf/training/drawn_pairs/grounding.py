# SPDX-License-Identifier: Apache-2.0
"""A labelled radiograph, its organ map and readers' boxes in; side, zone, degree of findings out.

Labels say what is there but not where. Comparing the two lungs and measuring the heart gives the
captions of real radiographs their place words; where the two sides are alike nothing is claimed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.boxes import Box
from monai_cxr_cf.data.folder import ORGAN_LABELS, Row
from monai_cxr_cf.measures.masks import cardiothoracic_ratio
from monai_cxr_cf.training.drawn_pairs.drawing import LABEL_FINDINGS, LUNG, ZONE_ROWS, Drawing
from monai_cxr_cf.training.drawn_pairs.drawing import box as box_of

CLEAR_DIFFERENCE = 0.07  # of full range, between the same zone of both lungs
BOX_FINDINGS = LABEL_FINDINGS | {"Lung Opacity": "consolidation", "Infiltrate": "consolidation"}
del BOX_FINDINGS["Cardiomegaly"]  # the organ map measures the heart
LARGE_HEART = {"PA": 0.53, "AP": 0.58}  # cardiothoracic ratio that is called enlarged


def heart_ratio(labels: NDArray[np.uint8]) -> float:
    """The cardiothoracic ratio of an organ map; 0 without a heart of 50 pixels in it."""
    organs = {name: labels == label for name, label in ORGAN_LABELS.items()}
    return cardiothoracic_ratio(organs) or 0.0 if organs["heart"].sum() >= 50 else 0.0


def zone_means(image: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, float]:
    """Mean brightness by "side zone", over each lung's own extent."""
    means = {}
    for side, label in LUNG.items():
        lung = labels == label
        top, bottom, *_ = box_of(lung)
        for zone, (low, high) in ZONE_ROWS.items():
            rows = slice(int(top + low * (bottom - top)), int(top + high * (bottom - top)) + 1)
            values = image[rows][lung[rows]]
            means[f"{side} {zone}"] = float(values.mean()) if values.size else 0.0
    return means


def ground(row: Row, image: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[Drawing, ...]:
    """Findings of a radiograph with what the organ map adds; () where it adds nothing.

    ``image`` SxS 0..1 and ``labels`` SxS share a grid. An unknown degree is the empty string.
    """
    if min((labels == side).mean() for side in LUNG.values()) < 0.02:
        return ()
    found = []
    ratio = heart_ratio(labels)
    threshold = LARGE_HEART.get(row.view[:2], 0.56)
    if ratio > threshold or ("Cardiomegaly" in row.labels and ratio > 0):
        degree = "severe" if ratio > threshold + 0.11 else "moderate"
        degree = "mild" if ratio < threshold + 0.05 else degree
        found.append(Drawing("cardiomegaly", severity=degree))
    means = zone_means(image, labels)
    named = {LABEL_FINDINGS[label] for label in row.labels if label in LABEL_FINDINGS}
    if "effusion" in named:
        gap = means["left lower"] - means["right lower"] + _shorter(labels)
        if abs(gap) > CLEAR_DIFFERENCE:
            found.append(Drawing("effusion", "left" if gap > 0 else "right", severity=""))
    if "consolidation" in named:
        gaps = {zone: means[f"left {zone}"] - means[f"right {zone}"] for zone in ZONE_ROWS}
        zone = max(gaps, key=lambda name: abs(gaps[name]))
        if abs(gaps[zone]) > CLEAR_DIFFERENCE:
            side = "left" if gaps[zone] > 0 else "right"
            found.append(Drawing("consolidation", side, zone, ""))
    return tuple(found)


def boxed(
    boxes: list[Box], labels: NDArray[np.uint8], shape: tuple[int, ...]
) -> tuple[Drawing, ...]:
    """Findings that readers' boxes of a radiograph of ``shape`` (H, W) place, each place once.

    ``labels`` is the organ map of its padded square. Boxes that weights may not learn from are left
    out, as is one whose centre lies beside the lung that it names.
    """
    found = dict.fromkeys(_in_box(box, labels, shape) for box in boxes)
    return tuple(drawing for drawing in found if drawing is not None)


def _in_box(box: Box, labels: NDArray[np.uint8], shape: tuple[int, ...]) -> Drawing | None:
    finding = BOX_FINDINGS.get(box.finding)
    lung = labels == LUNG.get(box.side, 9)
    if finding is None or "non-commercial" in box.by or not lung.any():
        return None
    if finding in ("effusion", "pneumothorax"):
        return Drawing(finding, box.side, severity="")
    edge = max(shape)
    row, column = (
        ((edge - size) / 2 + middle * size) / edge * len(labels)
        for size, middle in zip(
            shape, ((box.top + box.bottom) / 2, (box.left + box.right) / 2), strict=True
        )
    )
    top, bottom, left, right = box_of(lung)
    share = (row - top) / max(1, bottom - top)
    if not (-0.1 < share < 1.2 and left - 8 < column < right + 8):
        return None
    zone = "upper" if share < 0.35 else "mid" if share < 0.62 else "lower"
    return Drawing(finding, box.side, zone, "")


def _shorter(labels: NDArray[np.uint8]) -> float:
    """How much less of the left lung than of the right is aerated, beyond what is normal."""
    right, left = (labels == 1).sum(), (labels == 2).sum()
    return float(np.clip(0.85 - left / right, -0.5, 0.5)) if right else 0.0
