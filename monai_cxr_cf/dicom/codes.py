# SPDX-License-Identifier: Apache-2.0
"""Every coded concept that the written DICOM files hold, in one table.

In: a name of ours (``heart``, ``edit_band``, ``counterfactual``). Out: the code that a segment, a
derivation or a report line carries. Codes of public schemes come with the meaning their registry
gives; what no registry has is ours, in the declared private scheme 99CXRCF. Findings bring their
own codes from the vocabulary in ``prompts``.
"""

from typing import NamedTuple

from pydicom.dataset import Dataset

PRIVATE_SCHEME = "99CXRCF"


class Concept(NamedTuple):
    """A code in a scheme: value (SH, 16 characters), scheme designator, meaning (LO, 64)."""

    value: str
    scheme: str
    meaning: str

    def item(self) -> Dataset:
        """A fresh item of a code sequence; never share one between two sequences."""
        ds = Dataset()
        ds.CodeValue = self.value
        ds.CodingSchemeDesignator = self.scheme
        ds.CodeMeaning = self.meaning
        return ds


class Segment(NamedTuple):
    """How one mask of ours is described in a SEG (docs/dicom-conformance.md 4.4)."""

    label: str
    category: Concept
    type: Concept
    modifier: Concept | None
    rgb: tuple[int, int, int]  # sRGB 0..255; turned into CIELab, so it cannot leave the gamut


ANATOMY = Concept("91723000", "SCT", "Anatomical Structure")
SPATIAL = Concept("309825002", "SCT", "Spatial and Relational Concept")
RIGHT = Concept("24028007", "SCT", "Right")
LEFT = Concept("7771000", "SCT", "Left")
LUNG = Concept("39607008", "SCT", "Lung")
HEART = Concept("80891009", "SCT", "Heart")
TRACHEA = Concept("44567001", "SCT", "Trachea")
CLAVICLE = Concept("51299004", "SCT", "Clavicle")
IMAGE_REGION = Concept("111030", "DCM", "Image Region")

ARTIFICIAL_INTELLIGENCE = Concept("123110", "DCM", "Artificial Intelligence")
ACQUISITION_EQUIPMENT = Concept("109101", "DCM", "Acquisition Equipment")
SYNTHESIZING_EQUIPMENT = Concept("109100", "DCM", "Synthesizing Equipment")
SOURCE_IMAGE = Concept("121322", "DCM", "Source image for image processing operation")
IMAGING_REPORT = Concept("126000", "DCM", "Imaging Measurement Report")
DEVICE = Concept("121007", "DCM", "Device")
NO_UNITS = Concept("1", "UCUM", "no units")
CHEST = Concept("816094009", "SCT", "Chest")
CHEST_IMAGING = Concept("413815006", "SCT", "Chest imaging")

# Private scheme: what no public registry holds (docs/dicom-conformance.md 6); CID 7203 of PS3.16
# has no code for generated images.
COUNTERFACTUAL = Concept("CF001", PRIVATE_SCHEME, "Counterfactual synthesis")
SIGNED_DIFFERENCE = Concept("CF002", PRIVATE_SCHEME, "Signed difference to source image")
OUTSIDE_MAX = Concept("CF003", PRIVATE_SCHEME, "Largest change outside region and band")
STRENGTH = Concept("CF004", PRIVATE_SCHEME, "Edit strength")
BEFORE = Concept("CF005", PRIVATE_SCHEME, "Classifier probability in source image")
AFTER = Concept("CF006", PRIVATE_SCHEME, "Classifier probability in counterfactual")
EDIT = Concept("CF007", PRIVATE_SCHEME, "Counterfactual edit")
DIRECTION = Concept("CF008", PRIVATE_SCHEME, "Direction of the edit")
ADDED = Concept("CF009", PRIVATE_SCHEME, "Added")
REMOVED = Concept("CF010", PRIVATE_SCHEME, "Removed")
CHANGED = Concept("CF011", PRIVATE_SCHEME, "Changed")
UNCODED_FINDING = Concept("CF012", PRIVATE_SCHEME, "Finding without a public code")
IN_SHAM = Concept("CF013", PRIVATE_SCHEME, "Classifier probability in sham")
FLIP = Concept("CF014", PRIVATE_SCHEME, "Share of the change that flips the classifier")

DIRECTIONS = {"add": ADDED, "remove": REMOVED, "change": CHANGED}

SEGMENTS: dict[str, Segment] = {
    "right_lung": Segment("Right lung", ANATOMY, LUNG, RIGHT, (80, 150, 220)),
    "left_lung": Segment("Left lung", ANATOMY, LUNG, LEFT, (120, 190, 240)),
    "heart": Segment("Heart", ANATOMY, HEART, None, (210, 90, 90)),
    "trachea": Segment("Trachea", ANATOMY, TRACHEA, None, (150, 200, 160)),
    "right_clavicle": Segment("Right clavicle", ANATOMY, CLAVICLE, RIGHT, (220, 200, 140)),
    "left_clavicle": Segment("Left clavicle", ANATOMY, CLAVICLE, LEFT, (235, 215, 160)),
    "edit_region": Segment("Edit region", SPATIAL, IMAGE_REGION, None, (250, 170, 40)),
    "edit_band": Segment("Edit band", SPATIAL, IMAGE_REGION, None, (250, 220, 120)),
}

# Other programs' ways to say the same (older SRT codes, pre-coordinated sides), for reading only.
LUNG_CODES = frozenset({("SCT", "39607008"), ("SRT", "T-28000")})
RIGHT_LUNG_CODES = frozenset({("SCT", "3341006"), ("SRT", "T-28100")})
LEFT_LUNG_CODES = frozenset({("SCT", "44029006"), ("SRT", "T-28500")})
HEART_CODES = frozenset({("SCT", "80891009"), ("SRT", "T-32000")})
RIGHT_CODES = frozenset({("SCT", "24028007"), ("SRT", "G-A100")})
LEFT_CODES = frozenset({("SCT", "7771000"), ("SRT", "G-A101")})
TRACHEA_CODES = frozenset({("SCT", "44567001"), ("SRT", "T-25000")})
CLAVICLE_CODES = frozenset({("SCT", "51299004"), ("SRT", "T-12310")})


def scheme_item() -> Dataset:
    """The item that declares 99CXRCF in CodingSchemeIdentificationSequence (0008,0110)."""
    ds = Dataset()
    ds.CodingSchemeDesignator = PRIVATE_SCHEME
    ds.CodingSchemeName = "MONAI CXR counterfactual codes"
    ds.CodingSchemeVersion = "1"
    ds.CodingSchemeResponsibleOrganization = "monai-cxr-cf project"
    return ds
