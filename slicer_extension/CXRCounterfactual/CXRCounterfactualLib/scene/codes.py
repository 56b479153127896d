# SPDX-License-Identifier: Apache-2.0
"""Labels, codes and colours of the runner's segments, for where Slicer's SEG reader did not run.

The same table as the runner writes into ``seg.dcm``; a test compares the two.
"""

from typing import NamedTuple

Code = tuple[str, str, str]  # value, scheme, meaning
CONTEXT = "Segmentation category and type - DICOM master list"
REGION_CONTEXT = "Anatomic codes - DICOM master list"


class Coded(NamedTuple):
    """How one mask appears as a segment."""

    label: str
    category: Code
    type: Code
    modifier: Code | None
    rgb: tuple[int, int, int]  # sRGB, 0..255


ANATOMY: Code = ("91723000", "SCT", "Anatomical Structure")
SPATIAL: Code = ("309825002", "SCT", "Spatial and Relational Concept")
RIGHT: Code = ("24028007", "SCT", "Right")
LEFT: Code = ("7771000", "SCT", "Left")
LUNG: Code = ("39607008", "SCT", "Lung")
CLAVICLE: Code = ("51299004", "SCT", "Clavicle")
IMAGE_REGION: Code = ("111030", "DCM", "Image Region")

SEGMENTS: dict[str, Coded] = {
    "right_lung": Coded("Right lung", ANATOMY, LUNG, RIGHT, (80, 150, 220)),
    "left_lung": Coded("Left lung", ANATOMY, LUNG, LEFT, (120, 190, 240)),
    "heart": Coded("Heart", ANATOMY, ("80891009", "SCT", "Heart"), None, (210, 90, 90)),
    "trachea": Coded("Trachea", ANATOMY, ("44567001", "SCT", "Trachea"), None, (150, 200, 160)),
    "right_clavicle": Coded("Right clavicle", ANATOMY, CLAVICLE, RIGHT, (220, 200, 140)),
    "left_clavicle": Coded("Left clavicle", ANATOMY, CLAVICLE, LEFT, (235, 215, 160)),
    "edit_region": Coded("Edit region", SPATIAL, IMAGE_REGION, None, (250, 170, 40)),
    "edit_band": Coded("Edit band", SPATIAL, IMAGE_REGION, None, (250, 220, 120)),
}
EDITED = ("edit_region", "edit_band")  # where the picture may have changed


def terminology(segment: Coded) -> str:
    """The entry that Slicer keeps as a segment's terminology tag."""
    from slicer import vtkSlicerTerminologiesModuleLogic as Logic

    blank: Code = ("", "", "")
    return str(
        Logic.SerializeTerminologyEntry(
            CONTEXT, *segment.category, *segment.type, *(segment.modifier or blank),
            REGION_CONTEXT, *blank, *blank,
        )
    )  # fmt: skip
