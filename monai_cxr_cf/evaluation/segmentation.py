# SPDX-License-Identifier: Apache-2.0
"""A shipped segmenter and the held-out radiographs in, Dice, Hausdorff and landmark error out.

``cxr-cf evaluate segmentation``: JSRT's even file numbers, and the halves of Shenzhen and
Montgomery that training never saw.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.segment import Segmentation, load_segmenter
from monai_cxr_cf.data.folder import Row, load_image, load_landmarks, load_organ_mask, read_index
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.measures.masks import dice
from monai_cxr_cf.training.segmentation.data import CONTOUR_SLICES, in_training

Mask = NDArray[np.bool_]
COLUMNS = ("id", "patient", "organ_mask")  # of index.csv
BARS = {("jsrt", "dice_lungs"): 0.966, ("jsrt", "dice_heart"): 0.933}
SIDE = 1024  # lengths are reported in pixels of a 1024-pixel image, as in the literature


def hausdorff(a: Mask, b: Mask) -> float:
    """Largest distance in pixels from the outline of either mask to the other's; inf if empty."""
    if not a.any() or not b.any():
        return float("inf")
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    apart = [ndimage.distance_transform_edt(~edge) for edge in edges]
    return float(max(apart[1][edges[0]].max(), apart[0][edges[1]].max()))


def measure(found: Segmentation, row: Row, data: Path) -> dict[str, float]:
    """Figures of one radiograph; lengths in pixels of an image scaled to ``SIDE`` wide."""
    truth = Organs.from_labels(load_organ_mask(data, row))
    height, width = truth.shape
    scale = SIDE / width
    names = [name for name in ("right_lung", "left_lung", "heart") if name in row.organ_mask]
    figures = {"dice_lungs": dice(found.organs.lungs, truth.lungs)}
    for name in names:
        mask, expected = found.organs.as_dict()[name], truth.as_dict()[name]
        figures[f"dice_{name}"] = dice(mask, expected)
        figures[f"hausdorff_{name}"] = hausdorff(mask, expected) * scale
    if found.landmarks is not None:
        contours = load_landmarks(data, row)
        for part, points in contours.items():
            error = found.landmarks[CONTOUR_SLICES[part]] - points * np.array([width, height])
            figures[f"landmark_error_{part}"] = float(np.hypot(*error.T).mean()) * scale
    return figures


def drawn_rows(data: Path, *, every: bool) -> list[Row]:
    """The rows with drawn organs that the training never saw; UnreadableInput if there is none."""
    rows = [r for r in read_index(data, COLUMNS) if r.organ_mask and (every or not in_training(r))]
    if not rows:
        raise UnreadableInput(
            "No radiograph with a drawn organ mask is held out from training.",
            hint="Fill organ_mask (lungs or lungs+heart); --every takes a folder never trained on.",
        )
    return rows


def evaluate_segmentation(
    data: Path,
    models: Path,
    *,
    out: Path | None = None,
    kind: str = "hybridgnet",
    every: bool = False,
) -> dict[str, Any]:
    """Mean figures per collection over radiographs that the training never saw.

    Args:
        data: folder with index.csv.
        models: folder with the segmenters' weights.
        out: also write the result, with every radiograph's figures, to this JSON file.
        kind: hybridgnet or unet.
        every: the training saw nothing of this folder, so all its drawn radiographs count.

    Raises:
        UnreadableInput: no radiograph with a drawn mask is held out.

    Returns:
        segmenter, sha256, unit, bars, and per collection the count and the means.
    """
    segmenter = load_segmenter(kind, models)
    rows = drawn_rows(data, every=every)
    result: dict[str, Any] = {"segmenter": kind, "sha256": segmenter.sha256}
    result |= {"lengths": f"pixels of a {SIDE} x {SIDE} image", "collections": {}}
    single: dict[str, dict[str, float]] = {}
    for source in dict.fromkeys(row.source for row in rows):
        chosen = [row for row in rows if row.source == source]
        for row in chosen:
            single[row.id] = measure(segmenter(load_image(data, row)), row, data)
        figures = [single[row.id] for row in chosen]
        result["collections"][source or data.name] = {"images": len(figures)} | _means(figures)
    result["bars"] = _bars(result["collections"])
    if out is not None:
        out.write_text(json.dumps(result | {"images": single}, indent=1), encoding="utf-8")
    return result


def _bars(collections: dict[str, Any]) -> list[dict[str, Any]]:
    """The bars of collections that are there, and whether each is reached."""
    return [
        {"collection": source, "figure": name, "at_least": bar, "reached": bool(value >= bar)}
        for (source, name), bar in BARS.items()
        if (value := collections.get(source, {}).get(name)) is not None
    ]


def table(result: dict[str, Any]) -> str:
    """The result as aligned text: one line per figure, one column per collection."""
    collections: dict[str, dict[str, float]] = result["collections"]
    names = list(dict.fromkeys(name for figures in collections.values() for name in figures))
    lines = [f"{result['segmenter']:24s}" + "".join(f"{source:>12s}" for source in collections)]
    for name in names:
        values = (figures.get(name) for figures in collections.values())
        lines.append(f"{name:24s}" + "".join(_cell(name, value) for value in values))
    for bar in result["bars"]:
        verdict = "reached" if bar["reached"] else "MISSED"
        lines.append(f"{bar['collection']} {bar['figure']} >= {bar['at_least']}: {verdict}")
    return "\n".join(lines)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return f"{'-':>12s}"
    return f"{value:12.4f}" if name.startswith("dice") else f"{value:12.1f}"


def _means(figures: Iterable[dict[str, float]]) -> dict[str, float]:
    listed = list(figures)
    names = dict.fromkeys(name for one in listed for name in one)
    return {
        name: round(float(np.mean([one[name] for one in listed if name in one])), 4)
        for name in names
    }
