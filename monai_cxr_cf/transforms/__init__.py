# SPDX-License-Identifier: Apache-2.0
"""MONAI dictionary transforms: a DICOM radiograph and a request in, the edited DICOM files out.

    LoadCXRDicomd -> SquarePadResized -> (segmentation network) -> RestoreMaskd
    -> SegmentOrgansd -> RegionFromRequestd -> EditCounterfactuald -> CompositeNatived
    -> WriteCounterfactuald -> WriteSegmentationd -> WriteReportd

Each calls the function that ``pipeline`` calls at its place, so a chain of them and the command
line write the same bytes. Each also works alone in a ``Compose``; what one leaves for the next
stands in ``items``.
"""

from monai_cxr_cf.transforms.cases import cases
from monai_cxr_cf.transforms.edit import (
    CompositeNatived,
    EditCounterfactuald,
    RegionFromRequestd,
    SegmentOrgansd,
)
from monai_cxr_cf.transforms.image import LoadCXRDicomd, RestoreMaskd, SquarePadResized
from monai_cxr_cf.transforms.write import WriteCounterfactuald, WriteReportd, WriteSegmentationd

__all__ = [
    "CompositeNatived",
    "EditCounterfactuald",
    "LoadCXRDicomd",
    "RegionFromRequestd",
    "RestoreMaskd",
    "SegmentOrgansd",
    "SquarePadResized",
    "WriteCounterfactuald",
    "WriteReportd",
    "WriteSegmentationd",
    "cases",
]
