# SPDX-License-Identifier: Apache-2.0
"""The counterfactual as DICOM: Secondary Capture (default) or a derived CR or DX, native grid.

In: an ``OutputPlan`` with the members of the series. Out: ``cf/0001.dcm`` to ``cf/NNNN.dcm``,
each marked synthetic in every place that exists for it (docs/dicom-conformance.md 4.2).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.dicom.spacing import SC_CLASS
from monai_cxr_cf.dicom.writing.fileio import save
from monai_cxr_cf.dicom.writing.inherit import (
    declare_characters,
    for_same_iod,
    for_secondary_capture,
)
from monai_cxr_cf.dicom.writing.marking import (
    equip,
    findings_in_words,
    identify,
    mark_image,
    mark_synthetic,
)
from monai_cxr_cf.dicom.writing.overlay import put_overlay
from monai_cxr_cf.dicom.writing.plan import OutputPlan


def write_counterfactuals(plan: OutputPlan, folder: Path) -> list[WrittenFile]:
    """Write the members of the series under ``folder``; one file each, in order.

    Every file holds the source's rows, columns, bits, photometry and spacing, and the stored
    values of its member.

    Args:
        plan: from ``plan_output``.
        folder: the output folder; ``cf/0001.dcm`` and on are made in it.

    Returns:
        One ``WrittenFile`` of role ``cf`` per member.
    """
    return [
        save(
            counterfactual_dataset(plan, index),
            folder / "cf" / f"{index + 1:04d}.dcm",
            role="cf",
            label=member.label,
        )
        for index, member in enumerate(plan.members)
    ]


def counterfactual_dataset(plan: OutputPlan, index: int) -> Dataset:
    """Instance ``index`` (from 0) of the counterfactual series, complete but for file meta."""
    ds = _same_iod(plan) if plan.options.iod == "same" else _secondary_capture(plan)
    member = plan.members[index]
    identify(ds, plan, plan.cf, index=index)
    equip(ds, plan)
    how = " by guidance" if plan.record.request.get("levels_by") == "guidance" else ""
    mark_synthetic(ds, f"counterfactual CXR{how}: {findings_in_words(plan.record)}")
    mark_image(ds, plan, member, codes.COUNTERFACTUAL)
    put_pixels(ds, member.stored, plan.radiograph.bits_stored)
    _put_photometry(ds, plan)
    put_overlay(ds, *member.stored.shape)
    return declare_characters(ds, plan.unicode)


def put_pixels(ds: Dataset, stored: NDArray[np.integer], bits_stored: int) -> None:
    """Native little-endian pixel data of one monochrome frame, HxW integers of 8 or 16 bits."""
    ds.SamplesPerPixel = 1
    ds.Rows, ds.Columns = stored.shape
    ds.BitsAllocated = 8 * stored.dtype.itemsize
    ds.BitsStored, ds.HighBit = bits_stored, bits_stored - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    payload = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<")).tobytes()
    ds.add_new("PixelData", "OW", payload + b"\0" * (len(payload) % 2))


def _secondary_capture(plan: OutputPlan) -> Dataset:
    ds = for_secondary_capture(plan.header)
    ds.SOPClassUID = SC_CLASS
    ds.ConversionType = "SYN"
    return ds


def _same_iod(plan: OutputPlan) -> Dataset:
    """A derived image of the source's class; a source that is a capture stays one, but SYN."""
    if plan.is_raster or plan.header.SOPClassUID == SC_CLASS:
        return _secondary_capture(plan)
    return for_same_iod(plan.header)


def _put_photometry(ds: Dataset, plan: OutputPlan) -> None:
    """The polarity as it was read; a contradictory source must not make another one."""
    ds.PhotometricInterpretation = plan.radiograph.polarity
    if "PresentationLUTShape" in ds:
        inverse = plan.radiograph.polarity == "MONOCHROME1"
        ds.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
