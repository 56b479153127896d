# SPDX-License-Identifier: Apache-2.0
"""Mask files of the runner in (``masks.npz``, ``seg.dcm``), masks by name out, HxW bool.

The way round Slicer's own SEG reader: where that is missing (5.10) or fails, and for the region
that is shown before a run. Both files are untrusted input: pickles are refused, shapes checked.
"""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..refused import Refused
from .codes import SEGMENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[Any]

LARGEST = 256 * 1024 * 1024  # bytes of one unpacked mask: a 64-megapixel mask has 64 MB


def masks_of_npz(path: str | Path) -> "dict[str, Mask]":
    """The masks of an archive of arrays; its change maps are left out.

    Args:
        path: ``masks.npz`` as the runner writes it.

    Raises:
        Refused: not such an archive, or it holds anything but plain arrays.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in SEGMENTS if f"{name}.npy" in archive.namelist()]
            return {name: _plain_array(archive, name, np) for name in names}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise Refused(
            "The file of masks cannot be read.", "Run again; if it recurs, copy the report."
        ) from error


def _plain_array(archive: zipfile.ZipFile, name: str, np: Any) -> "Mask":
    """One member as HxW bool; its size is known before it is unpacked."""
    if archive.getinfo(f"{name}.npy").file_size > LARGEST:
        raise ValueError("a mask is larger than any radiograph")
    # allow_pickle=False: an object array would run code of whoever wrote the file.
    array: Mask = np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind not in "bu":
        raise ValueError("a mask is not a flat picture")
    mask: Mask = array != 0
    return mask


def masks_of_seg(path: str | Path) -> "dict[str, Mask]":
    """The segments of a DICOM SEG that bear our labels, one frame each.

    Args:
        path: ``seg.dcm`` as the runner writes it: BINARY, one frame per segment.

    Raises:
        Refused: not such a file.
    """
    import pydicom

    try:
        ds = pydicom.dcmread(path)
        return _frames_by_name(ds)
    except (OSError, ValueError, AttributeError, KeyError, IndexError, RuntimeError,
            pydicom.errors.InvalidDicomError) as error:  # fmt: skip
        raise Refused(
            "The DICOM segmentation cannot be read.", "Run again; if it recurs, copy the report."
        ) from error


def _frames_by_name(ds: Any) -> "dict[str, Mask]":
    if ds.SegmentationType != "BINARY":
        raise ValueError("only binary segmentations are read here")
    names = {segment.label: name for name, segment in SEGMENTS.items()}
    labels = {int(item.SegmentNumber): str(item.SegmentLabel) for item in ds.SegmentSequence}
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    found: dict[str, Mask] = {}
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        name = names.get(labels[number])
        if name is not None:
            found[name] = found[name] | (frame != 0) if name in found else frame != 0
    return found
