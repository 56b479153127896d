# SPDX-License-Identifier: Apache-2.0
"""Organs found in one radiograph in, the files that show them out; every door writes the same."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from monai_cxr_cf import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from monai_cxr_cf.anatomy.organs import Organs
    from monai_cxr_cf.anatomy.segment import Segmentation
    from monai_cxr_cf.dicom.radiograph import Radiograph
    from monai_cxr_cf.dicom.record import Weights, WrittenFile

    Masks = dict[str, NDArray[np.bool_]]


def weights_of(found: "Segmentation") -> "Weights":
    """The network that drew the organs, for the record."""
    from monai_cxr_cf.dicom.record import Weights

    return Weights("segmenter", found.name, found.sha256, found.licence)


def write_masks(
    radiograph: "Radiograph",
    organs: "Organs",
    *,
    masks: "Masks",
    weights: "Weights",
    folder: Path,
) -> list["WrittenFile"]:
    """Overlay, label picture and DICOM SEG of what was found; the server writes the same."""
    from PIL import Image

    from monai_cxr_cf.dicom.record import RunRecord
    from monai_cxr_cf.dicom.writing.fileio import written_file
    from monai_cxr_cf.dicom.writing.plan import plan_output
    from monai_cxr_cf.dicom.writing.seg import write_segmentation
    from monai_cxr_cf.runs import pictures as panels

    record = RunRecord(
        request_json=json.dumps({"segmenter": weights.name, "masks": sorted(masks)}),
        seeds=(),
        findings=(),
        region="",
        strength=0.0,
        weights=(weights,),
        code_version=__version__,
    )
    plan = plan_output(radiograph, (), record=record)
    panels.overlay(radiograph.pixels, masks, folder / "overlay.png")
    Image.fromarray(organs.labels()).save(folder / "labels.png")
    pictures = [written_file(role, folder / f"{role}.png") for role in ("overlay", "labels")]
    return [*pictures, write_segmentation(plan, masks, folder)]
