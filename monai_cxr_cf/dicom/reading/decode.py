# SPDX-License-Identifier: Apache-2.0
"""Steps 7 and 8 of the reader: decode the pixels, then hold them against the header.

``decode_pixels`` is one plain function of plain arguments, so that a server may call it in a child
process under a memory limit.
"""

import numpy as np
import numpy.typing as npt
from pydicom.pixels import pixel_array

from monai_cxr_cf.dicom.display import Integers
from monai_cxr_cf.dicom.reading.identity import Note
from monai_cxr_cf.dicom.reading.matrix import Matrix
from monai_cxr_cf.errors import ResourceExhausted, UnreadableInput, UnsupportedImage


def decode_pixels(path: str, *, plugin: str) -> npt.NDArray[np.integer]:
    """The pixels of a Part-10 file as its decoder gives them, not masked to BitsStored.

    Args:
        path: the file; everything in ``payload`` and ``matrix`` must have been checked.
        plugin: pydicom's decoder plugin; empty for native pixels.
    """
    options = {"decoding_plugin": plugin} if plugin else {"correct_unused_bits": False}
    return np.asarray(pixel_array(path, raw=True, **options))


def read_pixels(path: str, matrix: Matrix, *, plugin: str) -> tuple[Integers, list[Note]]:
    """HxW stored integers as the header describes them, and what had to be ignored.

    Raises:
        UnreadableInput: the decoder fails.
        UnsupportedImage: shape, sign or range differ from the header.
    """
    try:
        decoded = decode_pixels(path, plugin=plugin)
    except MemoryError as error:
        raise ResourceExhausted(
            f"There is not enough memory to decode {matrix.rows} x {matrix.columns} pixels.",
            hint="Crop the image or use a machine with more memory.",
        ) from error
    except Exception as error:  # decoders raise many types on damaged data
        raise UnreadableInput(
            "PixelData cannot be decoded; expected one whole frame.",
            code="undecodable",
            hint="Export the image again: this copy is damaged.",
        ) from error
    if decoded.shape != (matrix.rows, matrix.columns) or decoded.dtype.kind not in "iu":
        raise UnsupportedImage(
            f"The decoded image is {decoded.shape} {decoded.dtype}; the header says "
            f"({matrix.rows}, {matrix.columns}) {matrix.dtype}.",
            code="decoded_shape",
            hint="Export the image again: this copy is damaged.",
        )
    return _within_bits(decoded, matrix, native=not plugin)


def check_content(stored: Integers, valid: npt.NDArray[np.bool_]) -> None:
    """UnsupportedImage if there is nothing to see: all padding, or one value everywhere."""
    values = stored[valid]
    if values.size == 0 or values.min() == values.max():
        found = "all padding" if values.size == 0 else "the same everywhere"
        raise UnsupportedImage(
            f"The pixels are {found}; expected a radiograph.",
            code="constant_image",
            hint="Choose another image of the study.",
        )


def _within_bits(decoded: Integers, matrix: Matrix, *, native: bool) -> tuple[Integers, list[Note]]:
    """Drop what native pixels carry above BitsStored; refuse it from a codestream."""
    unused = matrix.bits_allocated - matrix.bits_stored
    typed = decoded.astype(matrix.dtype)
    if native:
        # Shifting up and back drops the unused bits and extends the sign (PS3.5 8.1.1).
        kept = (typed << unused) >> unused
        if np.array_equal(kept, typed):
            return typed, []
        return kept, [("unused_bits", "Bits above BitsStored are set; they are ignored.")]
    low, high = matrix.limits
    if decoded.min() < low or decoded.max() > high:
        raise UnsupportedImage(
            f"Decoded values reach {int(decoded.min())}..{int(decoded.max())}; "
            f"{matrix.bits_stored} bits hold {low}..{high}.",
            code="decoded_range",
            hint="Export the image again: header and pixels disagree.",
        )
    return typed, []
