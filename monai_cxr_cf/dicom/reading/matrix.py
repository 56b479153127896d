# SPDX-License-Identifier: Apache-2.0
"""Step 5 of the reader, first half: pixel matrix, bits and photometry, from the header alone."""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.display import stored_range
from monai_cxr_cf.dicom.radiograph import Polarity
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.values import raw_value, text, whole
from monai_cxr_cf.errors import UnsupportedImage

_CONTRADICTIONS = {("MONOCHROME2", "INVERSE"), ("MONOCHROME1", "IDENTITY")}


@dataclass(frozen=True)
class Matrix:
    """What the header promises about the pixels."""

    rows: int
    columns: int
    bits_allocated: int  # 8 or 16
    bits_stored: int  # 8..bits_allocated
    signed: bool

    @property
    def nbytes(self) -> int:
        """Length of the native pixels in bytes, without the pad byte."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def dtype(self) -> str:
        """numpy name of the stored type."""
        return f"{'' if self.signed else 'u'}int{self.bits_allocated}"

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest representable stored value."""
        return stored_range(self.bits_stored, self.signed)


def check_matrix(ds: Dataset, options: ReadOptions) -> Matrix:
    """The pixel matrix of a header within the limits.

    Raises:
        UnsupportedImage: size, frames, samples, bits or photometry are not ours.
    """
    rows, columns = whole(ds, "Rows"), whole(ds, "Columns")
    check_size(rows, columns, options)
    for keyword in ("NumberOfFrames", "SamplesPerPixel"):
        count = whole(ds, keyword, default=1 if keyword == "NumberOfFrames" else None)
        if count != 1:
            raise UnsupportedImage(
                f"{keyword} is {count}; expected 1.",
                code="frames" if keyword == "NumberOfFrames" else "samples",
                hint="Choose a single-frame greyscale radiograph.",
            )
    photometric = text(ds, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        shown = photometric if photometric in ("RGB", "PALETTE COLOR") else "another one"
        raise UnsupportedImage(
            f"PhotometricInterpretation is {shown}; expected MONOCHROME1 or MONOCHROME2.",
            code="photometric",
            hint="Choose a greyscale radiograph.",
        )
    return _check_bits(ds, rows, columns)


def check_polarity(ds: Dataset, options: ReadOptions) -> Polarity:
    """Whether low stored values are white (MONOCHROME1) or black, decided exactly once.

    DX pairs MONOCHROME1 with PresentationLUTShape INVERSE: the same single inversion. A
    contradictory pair is refused: GDCM follows one, a viewer may follow the other.

    Raises:
        UnsupportedImage: PhotometricInterpretation and PresentationLUTShape contradict.
    """
    if options.polarity is not None:
        return "MONOCHROME1" if options.polarity == "mono1" else "MONOCHROME2"
    photometric, shape = text(ds, "PhotometricInterpretation"), text(ds, "PresentationLUTShape")
    if (photometric, shape) in _CONTRADICTIONS:
        raise UnsupportedImage(
            f"PhotometricInterpretation {photometric} contradicts PresentationLUTShape {shape}; "
            "expected MONOCHROME1 with INVERSE or MONOCHROME2 with IDENTITY.",
            code="polarity",
            hint="Look at the image and pass --polarity mono1 or --polarity mono2.",
        )
    return "MONOCHROME1" if photometric == "MONOCHROME1" else "MONOCHROME2"


def check_padding(ds: Dataset, matrix: Matrix) -> tuple[int, int] | None:
    """Lowest and highest stored value that mean padding (PS3.3 C.7.5.1.1.2), or None."""
    if raw_value(ds, "PixelPaddingValue") is None:
        return None
    value = _as_stored(whole(ds, "PixelPaddingValue"), matrix)
    limit = value
    if raw_value(ds, "PixelPaddingRangeLimit") is not None:
        limit = _as_stored(whole(ds, "PixelPaddingRangeLimit"), matrix)
    return min(value, limit), max(value, limit)


def _as_stored(value: int, matrix: Matrix) -> int:
    """Undo a wrong VR: writers store a signed padding value as US, or an unsigned one as SS."""
    span = 1 << matrix.bits_allocated
    if matrix.signed and value >= span // 2:
        return value - span
    if not matrix.signed and value < 0:
        return value + span
    return value


def check_size(rows: int, columns: int, options: ReadOptions) -> None:
    """UnsupportedImage if there are too many pixels, or too few along the shorter side."""
    count = rows * columns
    if count > options.max_pixels:
        raise UnsupportedImage(
            f"Rows x Columns is {rows} x {columns} ({count / 1e6:.1f} Mpixel); the limit is "
            f"{options.max_pixels / 1e6:g} Mpixel.",
            code="too_many_pixels",
            hint="Crop the image or raise --max-pixels.",
        )
    if min(rows, columns) < options.min_side:
        raise UnsupportedImage(
            f"Rows x Columns is {rows} x {columns}; the shorter side must be at least "
            f"{options.min_side} pixels.",
            code="too_small",
            hint="Choose the full image or lower --min-side.",
        )


def _check_bits(ds: Dataset, rows: int, columns: int) -> Matrix:
    allocated, stored = whole(ds, "BitsAllocated"), whole(ds, "BitsStored")
    high, representation = whole(ds, "HighBit"), whole(ds, "PixelRepresentation")
    ok = allocated in (8, 16) and 8 <= stored <= allocated and high == stored - 1
    if not ok or representation not in (0, 1):
        raise UnsupportedImage(
            f"BitsAllocated, BitsStored, HighBit, PixelRepresentation are {allocated}, {stored}, "
            f"{high}, {representation}; expected 8 or 16 allocated, 8 to 16 stored, "
            "HighBit = BitsStored - 1, representation 0 or 1.",
            code="bits",
            hint="Have the image exported as 8 to 16 bit greyscale.",
        )
    return Matrix(rows, columns, allocated, stored, representation == 1)
