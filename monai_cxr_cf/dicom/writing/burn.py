# SPDX-License-Identifier: Apache-2.0
"""The optional burnt-in mark: SYNTHETIC in the upper left corner, in stored values.

For viewers that drop every header mark. It breaks bit-identity outside the region, so it is off by
default and the report says when it is on (docs/dicom-conformance.md 4.2).
"""

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.dicom.display import stored_range
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.record import Member

WORD = "SYNTHETIC"
# 5 x 7 dots a letter, one row a number, leftmost dot = 16.
_GLYPHS = {
    "S": (15, 16, 16, 14, 1, 1, 30),
    "Y": (17, 17, 10, 4, 4, 4, 4),
    "N": (17, 25, 21, 19, 17, 17, 17),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "C": (14, 17, 16, 16, 16, 17, 14),
}


def burn_in(member: Member, radiograph: Radiograph) -> Member:
    """A copy of ``member`` with bright letters on a dark box, a third of the image wide."""
    drawn = letters(*radiograph.shape)
    rows, columns = drawn.shape
    low, high = stored_range(radiograph.bits_stored, radiograph.signed)
    dark, bright = (high, low) if radiograph.polarity == "MONOCHROME1" else (low, high)
    stored = member.stored.copy()
    stored[:rows, :columns] = np.where(drawn, bright, dark)
    return Member(stored, member.label)


def letters(rows: int, columns: int) -> NDArray[np.bool_]:
    """The word a third of an image of ``rows`` x ``columns`` wide; True where a letter is."""
    dots = _word()
    scale = max(1, columns // (3 * dots.shape[1]))
    return np.kron(dots, np.ones((scale, scale), dtype=bool))[:rows, :columns]


def _word() -> NDArray[np.bool_]:
    """The word as dots, with a rim of one dot."""
    letters = [
        np.array([[(row >> (4 - column)) & 1 for column in range(5)] + [0] for row in _GLYPHS[c]])
        for c in WORD
    ]
    return np.pad(np.hstack(letters).astype(bool), ((1, 1), (1, 0)))
