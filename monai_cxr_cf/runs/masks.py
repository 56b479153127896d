# SPDX-License-Identifier: Apache-2.0
"""Organs found in one radiograph in, the files that show them out; every door writes the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf import __version__
from monai_cxr_cf.case import Scene, edit_region
from monai_cxr_cf.dicom.record import RunRecord, Weights, WrittenFile
from monai_cxr_cf.dicom.writing.fileio import written_file
from monai_cxr_cf.dicom.writing.plain_png import exif
from monai_cxr_cf.dicom.writing.plan import plan_output
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from monai_cxr_cf.prompts.compose import ParsedPrompt
from monai_cxr_cf.runs import pictures as panels

Masks = Mapping[str, NDArray[np.bool_]]


def masks_of(scene: Scene, asked: ParsedPrompt | None) -> Masks:
    """The organs of a scene by name, and the region of the words if there are any."""
    region = {} if asked is None else {"edit_region": edit_region(asked, scene)}
    return {**scene.organs.as_dict(), **region}


def write_masks(
    scene: Scene, masks: Masks, *, source: Mapping[str, Any], folder: Path
) -> list[WrittenFile]:
    """Overlay, label picture and DICOM SEG of ``masks``; ``source`` is what ``segment`` says."""
    record = RunRecord(
        request_json=json.dumps({"segmenter": source["segmenter"], "masks": sorted(masks)}),
        seeds=(),
        findings=(),
        region="",
        strength=0.0,
        weights=(Weights("segmenter", source["segmenter"], source["sha256"], source["licence"]),),
        code_version=__version__,
    )
    radiograph = scene.radiograph
    plan = plan_output(radiograph.as_stored(), (), record=record)
    panels.overlay(radiograph.pixels, masks, folder / "overlay.png")
    back = radiograph.turn.undo  # masks lie as the source's own pixels do
    labels = Image.fromarray(back(scene.organs.labels()))
    labels.save(folder / "labels.png", **exif(radiograph))
    pictures = [written_file(role, folder / f"{role}.png") for role in ("overlay", "labels")]
    if not any(mask.any() for mask in masks.values()):
        return pictures  # only of a refused radiograph
    stored = {name: back(mask) for name, mask in masks.items()}
    return [*pictures, write_segmentation(plan, stored, folder)]


def told(masks: Masks, source: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
    """What every door says of the masks: areas in native pixels, measures, network, warnings."""
    used = {"name": source["segmenter"], "sha256": source["sha256"], "licence": source["licence"]}
    areas = {name: int(mask.sum()) for name, mask in masks.items()}
    notes = (*scene.radiograph.warnings, *scene.notes)
    return {
        "pixels": areas,
        "measures": source["measures"],
        "segmenter": used,
        "warnings": [{"code": code, "message": message} for code, message in notes],
    }
