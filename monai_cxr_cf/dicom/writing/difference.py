# SPDX-License-Identifier: Apache-2.0
"""The signed difference, counterfactual minus source, as a Secondary Capture series of its own.

In: an ``OutputPlan``. Out: ``diff/0001.dcm`` and on, in stored units: 16 bits unsigned, offset
32768, RescaleIntercept -32768, so that viewers show signed values. Always an SC: a DX must not have
an intercept (docs/dicom-conformance.md 4.3).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.dicom.spacing import SC_CLASS
from monai_cxr_cf.dicom.writing.fileio import save
from monai_cxr_cf.dicom.writing.inherit import declare_characters, for_secondary_capture
from monai_cxr_cf.dicom.writing.marking import (
    equip,
    findings_in_words,
    identify,
    mark_image,
    mark_synthetic,
    refer_to,
)
from monai_cxr_cf.dicom.writing.plan import OutputPlan
from monai_cxr_cf.dicom.writing.write import put_pixels

OFFSET = 32768
_GREY_SCALE = (
    "PixelPaddingValue", "PixelPaddingRangeLimit", "ModalityLUTSequence", "VOILUTSequence",
    "VOILUTFunction", "WindowCenterWidthExplanation",
)  # fmt: skip


def signed_difference(
    stored: NDArray[np.integer], source: NDArray[np.integer]
) -> NDArray[np.int32]:
    """HxW int32, counterfactual minus source in stored units."""
    return stored.astype(np.int32) - source.astype(np.int32)


def outside_max_diff(
    stored: NDArray[np.integer],
    source: NDArray[np.integer],
    allowed: Iterable[NDArray[np.bool_]],
) -> int:
    """Largest absolute change outside the union of ``allowed`` masks (edit region, edit band)."""
    outside = np.ones(source.shape, dtype=bool)
    for mask in allowed:
        outside &= ~mask
    change = np.abs(signed_difference(stored, source))[outside]
    return int(change.max(initial=0))


def write_differences(plan: OutputPlan, folder: Path) -> list[WrittenFile]:
    """Write one difference per member; ``diff/0001.dcm`` belongs to ``cf/0001.dcm``."""
    return [
        save(
            difference_dataset(plan, index),
            folder / "diff" / f"{index + 1:04d}.dcm",
            role="diff",
            label=member.label,
        )
        for index, member in enumerate(plan.members)
    ]


def difference_dataset(plan: OutputPlan, index: int) -> Dataset:
    """Instance ``index`` (from 0) of the difference series.

    A change of full 16-bit scale does not fit 16 bits with a sign: it is clipped to +-32767 and
    DerivationDescription says so.
    """
    member = plan.members[index]
    change = signed_difference(member.stored, plan.radiograph.stored)
    clipped = np.clip(change, -OFFSET + 1, OFFSET - 1)
    ds = for_secondary_capture(plan.header)
    ds.SOPClassUID, ds.ConversionType = SC_CLASS, "SYN"
    identify(ds, plan, plan.diff, index=index)
    equip(ds, plan)
    mark_synthetic(ds, f"difference to source: {findings_in_words(plan.record)}")
    mark_image(ds, plan, member, codes.SIGNED_DIFFERENCE)
    note = "Counterfactual minus source in stored units"
    note += ", clipped to +-32767" if (clipped != change).any() else ""
    ds.DerivationDescription = f"{note}. {ds.DerivationDescription}"[:1024]
    refer_to(ds, _counterfactual_class(plan), plan.cf.sop_uids[index])
    _put_grey_scale(ds, clipped)
    put_pixels(ds, (clipped + OFFSET).astype(np.uint16), 16)
    return declare_characters(ds, plan.unicode)


def _counterfactual_class(plan: OutputPlan) -> str:
    """SOP class of the counterfactual that this difference belongs to."""
    if plan.options.iod == "same" and not plan.is_raster:
        return str(plan.header.SOPClassUID)
    return SC_CLASS


def _put_grey_scale(ds: Dataset, change: NDArray[np.int32]) -> None:
    """Signed values by intercept, shown mid-grey where nothing changed."""
    for keyword in _GREY_SCALE:
        ds.pop(keyword, None)
    ds.PhotometricInterpretation = "MONOCHROME2"
    if "PresentationLUTShape" in ds:
        ds.PresentationLUTShape = "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -OFFSET, 1, "US"
    ds.WindowCenter = 0
    ds.WindowWidth = max(2, 2 * int(np.abs(change).max(initial=0)))
