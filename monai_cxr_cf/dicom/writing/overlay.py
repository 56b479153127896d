# SPDX-License-Identifier: Apache-2.0
"""SYNTHETIC as an overlay plane (PS3.3 C.9.2): a viewer draws it, the pixels stay as they are.

For viewers that show no presentation state, such as OHIF. The plane covers the letters alone, in
the upper left corner: its first row and column are those of the image.
"""

import numpy as np
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.writing.burn import WORD, letters

GROUP = 0x6000
LABEL, DATA = (GROUP, 0x1500), (GROUP, 0x3000)


def put_overlay(ds: Dataset, rows: int, columns: int) -> None:
    """Give an image of that size its overlay; one bit a pixel, least significant bit first."""
    drawn = letters(rows, columns)
    packed = np.packbits(drawn, bitorder="little").tobytes()
    ds.add_new((GROUP, 0x0010), "US", drawn.shape[0])  # Overlay Rows
    ds.add_new((GROUP, 0x0011), "US", drawn.shape[1])  # Overlay Columns
    ds.add_new((GROUP, 0x0022), "LO", "Synthetic image, research only")  # Overlay Description
    ds.add_new((GROUP, 0x0040), "CS", "G")  # Overlay Type: graphics
    ds.add_new((GROUP, 0x0050), "SS", [1, 1])  # Overlay Origin
    ds.add_new((GROUP, 0x0100), "US", 1)  # Overlay Bits Allocated
    ds.add_new((GROUP, 0x0102), "US", 0)  # Overlay Bit Position
    ds.add_new(LABEL, "LO", WORD)
    ds.add_new(DATA, "OW", packed + b"\0" * (len(packed) % 2))


def has_overlay(ds: Dataset) -> bool:
    """Whether the dataset carries our plane."""
    label = ds.get(LABEL)
    return DATA in ds and label is not None and str(label.value) == WORD
