# SPDX-License-Identifier: Apache-2.0
"""What the strict reader may let pass: limits and permissions, one flag of ``cxr-cf`` each."""

from dataclasses import dataclass

from monai_cxr_cf.errors import BadRequest

# Where the rows, then the columns of the stored picture run to; L/F is upright.
ORIENTATIONS = ("L/F", "R/F", "L/H", "R/H", "F/L", "F/R", "H/L", "H/R")
ONE_AN_EDIT = (  # the next step where several images are named
    "One file an edit; for many: cxr-cf batch plan DIR --prompt TEXT --out manifest.csv, "
    "then cxr-cf batch run manifest.csv --out DIR2"
)


@dataclass(frozen=True)
class ReadOptions:
    """Limits and permissions of reading, strict by default (docs/dicom-conformance.md 3)."""

    max_pixels: int = 64_000_000  # Rows x Columns; judged before anything is decoded
    max_bytes: int = 512_000_000  # size of the file
    min_side: int = 64  # shorter side in pixels
    allow_body_part: bool = False  # BodyPartExamined names another part than the chest
    allow_lateral: bool = False  # lateral view
    allow_burned_in: bool = False  # BurnedInAnnotation YES
    allow_synthetic: bool = False  # SyntheticData YES or ConversionType SYN
    allow_raster: bool = False  # PNG or JPEG: no patient data
    ignore_voi: bool = False  # use our own percentile window instead of the file's VOI
    polarity: str | None = None  # mono1 or mono2: overrules PhotometricInterpretation
    orientation: str | None = None  # where rows and columns run to, L/F: overrules the header

    def __post_init__(self) -> None:
        if self.polarity not in (None, "mono1", "mono2"):
            raise BadRequest(
                f"polarity is {self.polarity!r}; expected mono1 or mono2.", code="polarity"
            )
        if self.orientation not in (None, *ORIENTATIONS):
            raise BadRequest(
                f"orientation is {self.orientation!r}; expected {', '.join(ORIENTATIONS)}.",
                code="orientation",
            )
        for name in ("max_pixels", "max_bytes", "min_side"):
            if getattr(self, name) < 1:
                raise BadRequest(f"{name} must be at least 1.", code="limit")
