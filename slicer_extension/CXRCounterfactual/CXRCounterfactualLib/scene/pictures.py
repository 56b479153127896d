# SPDX-License-Identifier: Apache-2.0
"""A radiograph as a volume node: its pixels, its grid, and how it is shown.

In: volume nodes of one scene. Out: arrays HxW (rows, columns), and a counterfactual that lies and
looks exactly like its source, so that a fade between the two shows the change and nothing else.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ..refused import Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GREY_SCALE = (
    "PhotometricInterpretation", "WindowCenter", "WindowWidth", "BitsStored",
    "BitsAllocated", "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
)  # fmt: skip
SAMPLE = 200_000  # pixels that tell how a volume was read
LEAST_SHARE = 0.4  # of them that one relation must explain: an edit changes fewer
TOLERANCE = 1e-6  # mm; geometry read twice from the same numbers


def pixels(volume: Any) -> "NDArray[Any]":
    """HxW view of a one-slice volume's values, first row on top."""
    return of_image(volume.GetImageData())


def of_image(image: Any) -> "NDArray[Any]":
    """HxW view of the one slice of VTK's image data."""
    from vtk.util.numpy_support import vtk_to_numpy

    columns, rows, _ = image.GetDimensions()
    values: NDArray[Any] = vtk_to_numpy(image.GetPointData().GetScalars())
    return values.reshape(rows, columns)


def shape(volume: Any) -> tuple[int, int]:
    """(rows, columns)."""
    columns, rows, _ = volume.GetImageData().GetDimensions()
    return rows, columns


def put_pixels(volume: Any, array: "NDArray[Any]") -> None:
    """Give a volume node the values of an HxW array; they are copied."""
    import numpy as np
    import vtk
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[1], array.shape[0], 1)
    image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = np.ravel(array)
    volume.SetAndObserveImageData(image)


def geometry(volume: Any) -> tuple[float, ...]:
    """The sixteen numbers of IJK-to-RAS, row by row."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return tuple(matrix.GetElement(i, j) for i in range(4) for j in range(4))


def lies_flat(volume: Any) -> bool:
    """True if rows run down and columns to the right as a radiograph file has them."""
    m = geometry(volume)
    turned = [m[i] for i in (1, 2, 4, 6, 8, 9)]
    return m[0] < 0 and m[5] < 0 and all(abs(value) < TOLERANCE for value in turned)


def match_geometry(source: Any, volume: Any) -> bool:
    """Put a volume on its source's grid; True if it had another.

    A calibrated Secondary Capture carries another spacing than the DX it came from, and Slicer
    believes each file for itself; the pixels are the same ones.

    Raises:
        Refused: the volume has other rows or columns.
    """
    import vtk

    if shape(volume) != shape(source):
        raise Refused(
            f"The result is {shape(volume)[0]} x {shape(volume)[1]} pixels, the radiograph "
            f"{shape(source)[0]} x {shape(source)[1]}.",
            "Load the radiograph anew from its DICOM file, uncropped, and run again.",
        )
    pairs = zip(geometry(source), geometry(volume), strict=True)
    if all(math.isclose(a, b, abs_tol=TOLERANCE) for a, b in pairs):
        return False
    matrix = vtk.vtkMatrix4x4()
    source.GetIJKToRASMatrix(matrix)
    volume.SetIJKToRASMatrix(matrix)
    return True


def match_window(source: Any, volume: Any) -> None:
    """Show a volume with the window, level and colours of its source."""
    volume.CreateDefaultDisplayNodes()
    source.CreateDefaultDisplayNodes()
    shown, wanted = volume.GetDisplayNode(), source.GetDisplayNode()
    shown.SetAutoWindowLevel(False)
    shown.SetWindowLevel(wanted.GetWindow(), wanted.GetLevel())
    if wanted.GetColorNodeID():
        shown.SetAndObserveColorNodeID(wanted.GetColorNodeID())
    shown.SetInterpolate(wanted.GetInterpolate())


def mend_window(source: Any, path: str) -> bool:
    """Turn the window of a MONOCHROME1 file over, as its pixels were; True if that was needed.

    Slicer's GDCM reader inverts the pixels of MONOCHROME1 but takes WindowCenter as it stands,
    which is the window of the pixels before. A mirrored window is taken only where the node shows
    the file's own, and more of the picture lies in the mirrored one: over BitsStored, or over
    BitsAllocated as for a JPEG 2000 stream of that precision.

    Args:
        source: the volume node.
        path: the DICOM file that it was loaded from.
    """
    grey, display = _monochrome1(path), source.GetDisplayNode()
    if grey is None or not grey.width or display is None or display.GetAutoWindowLevel():
        return False
    shown = ((display.GetLevel(), grey.level), (display.GetWindow(), grey.width))
    if not all(math.isclose(a, b, rel_tol=1e-4, abs_tol=0.5) for a, b in shown):
        return False
    levels = (grey.level, *(mirror - grey.level for mirror in grey.mirrors))
    best = max(levels, key=lambda level: _share_within(source, level, grey.width))
    if best == grey.level:
        return False
    display.SetWindowLevel(grey.width, best)
    return True


def match_polarity(source: Any, volume: Any) -> bool:
    """Bring a volume that was read otherwise than its source to the source's values; True if so.

    One reader inverts MONOCHROME1, another does not, and those that do may invert over different
    ends: over BitsStored, or over the precision of a JPEG 2000 stream. No header tells which reader
    a file met, but the pixels outside the edited region do: they are equal, or one is a constant
    less the other, or the two differ by a constant.

    Args:
        source: the radiograph's volume node.
        volume: the counterfactual's, on the same grid.
    """
    import numpy as np

    theirs, ours = pixels(source), pixels(volume)
    step = max(1, theirs.size // SAMPLE)
    some, own = (a.ravel()[::step].astype(np.int64) for a in (theirs, ours))
    best, sign, offset = float((some == own).mean()), 1, 0
    for way in (-1, 1):
        values, counts = np.unique(some - way * own, return_counts=True)
        share = float(counts.max()) / some.size
        if share > max(best, LEAST_SHARE):
            best, sign, offset = share, way, int(values[counts.argmax()])
    if (sign, offset) == (1, 0):
        return False
    ends = np.iinfo(theirs.dtype)
    matched = offset + sign * ours.astype(np.int64)
    put_pixels(volume, np.clip(matched, ends.min, ends.max).astype(theirs.dtype))
    return True


class Monochrome1(NamedTuple):
    """Grey scale of a file whose large values are dark, in the units that Slicer shows."""

    mirrors: tuple[float, ...]  # what a value and its inverse add up to, by either end
    level: float
    width: float  # 0: the file has no window


def _monochrome1(path: str) -> Monochrome1 | None:
    """The grey scale of a MONOCHROME1 file; None for any other."""
    import pydicom

    # No other tag is decoded: pydicom's warnings quote values.
    ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_GREY_SCALE))
    if ds.get("PhotometricInterpretation") != "MONOCHROME1":
        return None
    level, width = (_first(ds.get(name) or 0) for name in ("WindowCenter", "WindowWidth"))
    bits = dict.fromkeys(int(ds[name].value) for name in ("BitsStored", "BitsAllocated"))
    ends = (-1,) if ds.PixelRepresentation else tuple((1 << each) - 1 for each in bits)
    slope, start = float(ds.get("RescaleSlope") or 1.0), float(ds.get("RescaleIntercept") or 0.0)
    return Monochrome1(tuple(slope * end + 2 * start for end in ends), level, width)


def _first(value: Any) -> float:
    """The first of several windows, or the only one."""
    return float(value) if isinstance(value, (int, float)) else float(value[0])


def _share_within(volume: Any, level: float, width: float) -> float:
    """Share of the pixels that lie inside a window."""
    import numpy as np

    distance = np.abs(pixels(volume).astype(np.float64) - level)
    return float((distance <= width / 2).mean())
