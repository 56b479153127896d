# SPDX-License-Identifier: Apache-2.0
"""A Modality or VOI LUT item of a header, applied to values (PS3.3 C.11.1.1, C.11.2.1.1).

Own code: pydicom 3.0 indexes an 8-bit LUT with 8-bit numbers, so more than 256 entries wrap.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.values import raw_value
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage

Table = npt.NDArray[np.float64]


def apply_lut(item: Dataset, x: Table, *, name: str, normalise: bool = False) -> Table:
    """Look up values; those before the first or after the last entry take the end's.

    Args:
        item: one item of ModalityLUTSequence or VOILUTSequence, little endian.
        x: input values, any shape; rounded to the nearest entry.
        name: the sequence, for messages.
        normalise: divide by the largest number that the descriptor's bits hold, so 0..1.

    Raises:
        UnsupportedImage: descriptor and data do not fit together.
    """
    count, first, bits = _descriptor(item, name)
    data = _entries(item, count, bits, name)
    index = np.clip(np.rint(x) - first, 0, count - 1).astype(np.int64)
    looked_up: Table = data[index].astype(np.float64)
    if normalise:
        looked_up /= float((1 << bits) - 1)
    return looked_up


def fits(item: Dataset) -> bool:
    """Whether descriptor and data of an item belong together."""
    try:
        apply_lut(item, np.zeros(1), name="LUT")
    except (UnreadableInput, UnsupportedImage):
        return False
    return True


def _descriptor(item: Dataset, name: str) -> tuple[int, int, int]:
    value = raw_value(item, "LUTDescriptor")
    try:
        count, first, bits = (int(each) for each in value)
    except (TypeError, ValueError, OverflowError):
        count, first, bits = 0, 0, 0
    if not 8 <= bits <= 16 or not 0 <= count <= 65536:
        raise _refused(name, "LUTDescriptor is not three numbers with 8 to 16 bits an entry")
    return count or 65536, first, bits


def _entries(item: Dataset, count: int, bits: int, name: str) -> npt.NDArray[np.int64]:
    value: Any = raw_value(item, "LUTData")
    if isinstance(value, (bytes, bytearray)):
        packed = bits == 8 and len(value) in (count, count + 1) and len(value) != 2 * count
        value = np.frombuffer(bytes(value), dtype=np.uint8 if packed else "<u2")
    try:
        data = np.atleast_1d(np.asarray(value)).astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        data = np.empty(0, dtype=np.int64)
    if data.size not in (count, count + 1):  # one pad byte may follow 8-bit entries
        raise _refused(name, f"LUTData has {data.size} entries; the descriptor says {count}")
    data = data[:count]
    if data.min() < 0 or data.max() >= 1 << bits:
        raise _refused(name, f"LUTData exceeds the {bits} bits of its descriptor")
    return data


def _refused(name: str, found: str) -> UnsupportedImage:
    hint = "Have the file repaired or exported again."
    if name == "VOILUTSequence":
        hint = "Pass --ignore-voi to use a window of our own."
    return UnsupportedImage(f"{name}: {found}.", code="lut", hint=hint)
