# SPDX-License-Identifier: Apache-2.0
"""Header -> pixel spacing, twice: what viewers apply (display) and what a millimetre is (physical).

The two differ in projection radiography (PS3.3 10.7.1.3), so both are recorded with their origin.
A spacing that is absent, damaged, zero or not finite is None: none is ever invented.
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.values import numbers, raw_value, text, uid
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage

SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
SC_CLASS = "1.2.840.10008.5.1.4.1.1.7"
_ANISOTROPY = 0.005  # relative difference of row and column spacing that counts as anisotropic
_FINEST, _COARSEST = 1e-4, 1e3  # mm; what lies beyond is no spacing of a radiograph

Pair = tuple[float, float]


@dataclass(frozen=True)
class Spacing:
    """Row and column spacing in mm (distance between rows, between columns), or None."""

    display: Pair | None = None  # what GDCM, so Slicer and SimpleITK, apply to this file
    display_origin: str = "none"  # attribute it was taken from
    physical: Pair | None = None  # best estimate in the patient, for millimetres
    physical_origin: str = "none"

    @property
    def anisotropic(self) -> bool:
        """Whether rows and columns are spaced differently, by the spacing that is known."""
        pair = self.physical or self.display
        return pair is not None and abs(pair[0] / pair[1] - 1.0) > _ANISOTROPY

    def as_dict(self) -> dict[str, object]:
        """For JSON: both spacings with their origins."""
        return {
            "display_mm": self.display,
            "display_origin": self.display_origin,
            "physical_mm": self.physical,
            "physical_origin": self.physical_origin,
        }


def read_spacing(ds: Dataset) -> Spacing:
    """Both spacings of a header with their origins."""
    display, display_origin = display_spacing(ds)
    physical, physical_origin = physical_spacing(ds)
    return Spacing(display, display_origin, physical, physical_origin)


def display_spacing(ds: Dataset) -> tuple[Pair | None, str]:
    """The spacing that GDCM applies, with the attribute it comes from; None where GDCM uses 1.0.

    DX and CR: ImagerPixelSpacing, even beside a calibrated PixelSpacing; PixelSpacing alone is not
    applied. SC: PixelSpacing, else NominalScannedPixelSpacing (docs/dicom-conformance.md 3.4).
    """
    if uid(ds, "SOPClassUID") == SC_CLASS:
        names: tuple[str, ...] = ("PixelSpacing", "NominalScannedPixelSpacing")
    else:
        names = ("ImagerPixelSpacing",)
    for name in names:
        pair = usable_pair(ds, name)
        if pair is not None:
            return pair, name
    return None, "none"


def physical_spacing(ds: Dataset) -> tuple[Pair | None, str]:
    """The best spacing in the patient, with its origin.

    Calibrated PixelSpacing (by its type, or by differing from ImagerPixelSpacing), else
    ImagerPixelSpacing over EstimatedRadiographicMagnificationFactor, else ImagerPixelSpacing, else
    what little the file says: PixelSpacing without a calibration, NominalScannedPixelSpacing.
    """
    pixel = usable_pair(ds, "PixelSpacing")
    imager = usable_pair(ds, "ImagerPixelSpacing")
    if pixel is not None and text(ds, "PixelSpacingCalibrationType"):
        return pixel, "PixelSpacing (calibrated)"
    if pixel is not None and imager is not None and pixel != imager:
        return pixel, "PixelSpacing (differs from ImagerPixelSpacing)"
    if imager is not None:
        factor = _magnification(ds)
        if factor is None:
            return imager, "ImagerPixelSpacing"
        return (imager[0] / factor, imager[1] / factor), "ImagerPixelSpacing / magnification"
    if pixel is not None:
        return pixel, "PixelSpacing (calibration not stated)"
    nominal = usable_pair(ds, "NominalScannedPixelSpacing")
    return nominal, "none" if nominal is None else "NominalScannedPixelSpacing (film)"


def usable_pair(ds: Dataset, keyword: str) -> Pair | None:
    """Two numbers that can be a spacing in mm, or None (real files hold ``0\\0``)."""
    try:
        values = numbers(ds, keyword)
    except (UnreadableInput, UnsupportedImage):
        return None
    if len(values) != 2 or not all(_FINEST < v < _COARSEST for v in values):
        return None
    return values[0], values[1]


def _magnification(ds: Dataset) -> float | None:
    try:
        factors = numbers(ds, "EstimatedRadiographicMagnificationFactor")
    except (UnreadableInput, UnsupportedImage):
        return None
    return factors[0] if len(factors) == 1 and 0.1 < factors[0] < 10.0 else None


def unusable_spacings(ds: Dataset) -> list[str]:
    """Attributes of the spacing that are there and not usable; they count as absent."""
    lost = [name for name in SPACINGS if _filled(ds, name) and usable_pair(ds, name) is None]
    factor = "EstimatedRadiographicMagnificationFactor"
    return [*lost, factor] if _filled(ds, factor) and _magnification(ds) is None else lost


def _filled(ds: Dataset, keyword: str) -> bool:
    try:
        return raw_value(ds, keyword) is not None
    except UnreadableInput:
        return False  # left out by name, as all that cannot be parsed
