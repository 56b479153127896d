# SPDX-License-Identifier: Apache-2.0
"""A judge and boxes that readers drew in, how often its evidence lies in the box out.

Evidence by occlusion: each patch of the picture is blurred away in turn, and where the finding's
logit falls most is where the judge looked. Pointing game: that place lies in a box of the finding,
or at least on its side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from monai_cxr_cf.data.boxes import Box, read_boxes
from monai_cxr_cf.data.folder import Row, load_image
from monai_cxr_cf.evaluation.bootstrap import interval
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.classifier import Judge

Array = NDArray[np.float32]
# The word of a box -> the finding whose evidence must lie in it.
FINDING = {
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Pneumonia": "consolidation",
    "Lung Opacity": "consolidation",
    "Infiltrate": "consolidation",
    "Atelectasis": "atelectasis",
    "Pneumothorax": "pneumothorax",
    "Nodule": "nodule",
    "Mass": "nodule",
}
PATCHES = 8  # across the picture; each hides twice its own width


def boxes_of(data: Path) -> dict[str, list[Box]]:
    """Row id -> boxes, named as judges name findings; empty without ``boxes.csv``."""
    found = {
        name: [replace(box, finding=FINDING[box.finding]) for box in of if box.finding in FINDING]
        for name, of in read_boxes(data).items()
    }
    return {name: of for name, of in found.items() if of}


def places(judge: Judge, data: Path, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Finding -> how often its evidence lies in a box of it; empty without boxes.

    Returns:
        Per finding: ``images``; ``hit``, with ``low`` and ``high`` over patients; ``chance``:
        the boxes' share of the picture; ``side``: how often on the side of a box, of images whose
        boxes all lie on one side (``sided``).
    """
    boxes = boxes_of(data)
    told: dict[str, list[tuple[str, bool, float, bool | None]]] = {}
    for row in rows:
        of = boxes.get(row.id, [])
        for finding in sorted({box.finding for box in of} & set(judge.findings)):
            image = load_image(data, row)
            drawn = _drawn([b for b in of if b.finding == finding], image.shape, judge)
            y, x = pointed(judge, image, finding)
            sides = {box.side for box in of if box.finding == finding}
            way = None
            if sides in ({"right"}, {"left"}):  # the patient's right is the picture's left
                way = (x < drawn.shape[1] / 2) == (sides == {"right"})
            hit = (row.patient, bool(drawn[y, x]), float(drawn.mean()), way)
            told.setdefault(finding, []).append(hit)
    return {finding: _figures(hits) for finding, hits in sorted(told.items())}


def _figures(hits: Sequence[tuple[str, bool, float, bool | None]]) -> dict[str, Any]:
    patients = [patient for patient, *_ in hits]
    value, low, high = interval([hit for _, hit, _, _ in hits], patients)
    sided = [way for *_, way in hits if way is not None]
    found = {"images": len(hits), "hit": round(value, 3), "low": round(low, 3)}
    found |= {
        "high": round(high, 3),
        "chance": round(float(np.mean([c for _, _, c, _ in hits])), 3),
    }
    found["sided"] = len(sided)
    return found | ({"side": round(float(np.mean(sided)), 3)} if sided else {})


def _drawn(boxes: Sequence[Box], shape: tuple[int, ...], judge: Judge) -> NDArray[np.bool_]:
    """The boxes on the judge's square."""
    grid = ModelGrid((shape[0], shape[1]), judge.shape.side)
    (top, left), (high, wide) = grid.corner, grid.inner
    square = np.zeros((grid.side, grid.side), bool)
    for box in boxes:
        rows = slice(int(top + box.top * high), int(np.ceil(top + box.bottom * high)))
        square[rows, int(left + box.left * wide) : int(np.ceil(left + box.right * wide))] = True
    return square


def pointed(judge: Judge, image: Array, finding: str) -> tuple[int, int]:
    """Row and column on the judge's square where hiding the picture lowers a finding most."""
    square = judge.squares([image])[0, 0]
    side = square.shape[0]
    blurred = ndimage.gaussian_filter(square, side / 16)
    step = side / PATCHES
    centres = [(int((k // PATCHES + 0.5) * step), int((k % PATCHES + 0.5) * step))
               for k in range(PATCHES**2)]  # fmt: skip
    y, x = np.mgrid[:side, :side]
    hidden = []
    for row, column in centres:
        veil = (np.abs(y - row) <= step) & (np.abs(x - column) <= step)
        hidden.append(np.where(veil, blurred, square))
    pictures = torch.from_numpy(np.stack([square, *hidden]).astype(np.float32))[:, None]
    index = judge.findings.index(finding)
    with torch.inference_mode():
        parts = [judge.network(part)[:, index] for part in torch.split(pictures, 32)]
    logits = torch.cat(parts).numpy()
    return centres[int(np.argmax(logits[0] - logits[1:]))]
