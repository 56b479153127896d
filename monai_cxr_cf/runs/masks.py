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
    plan = plan_output(scene.radiograph, (), record=record)
    panels.overlay(scene.radiograph.pixels, masks, folder / "overlay.png")
    Image.fromarray(scene.organs.labels()).save(folder / "labels.png")
    pictures = [written_file(role, folder / f"{role}.png") for role in ("overlay", "labels")]
    return [*pictures, write_segmentation(plan, masks, folder)]


def told(masks: Masks, source: Mapping[str, Any]) -> dict[str, Any]:
    """What every door says of the masks: areas in native pixels, measures, the network."""
    used = {"name": source["segmenter"], "sha256": source["sha256"], "licence": source["licence"]}
    areas = {name: int(mask.sum()) for name, mask in masks.items()}
    return {"pixels": areas, "measures": source["measures"], "segmenter": used}
