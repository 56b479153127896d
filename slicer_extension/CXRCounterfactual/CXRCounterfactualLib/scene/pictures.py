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
    "PixelRepresentation", "RescaleSlope", "RescaleIntercept",
)  # fmt: skip
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
    which is the window of the pixels before. The mirrored window is taken only where the node
    shows the file's own, and more of the picture lies in the mirrored one.

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
    mirrored = grey.mirror - grey.level
    if _share_within(source, mirrored, grey.width) <= _share_within(source, grey.level, grey.width):
        return False
    display.SetWindowLevel(grey.width, mirrored)
    return True


def match_polarity(source: Any, volume: Any, path: str) -> bool:
    """Turn a MONOCHROME1 volume over that was read otherwise than its source; True if it was.

    Slicer's GDCM reader inverts, its DCMTK reader does not, and which one reads a file depends on
    a setting and on the file. All but the edited region tells which is which.

    Args:
        source: the radiograph's volume node.
        volume: the counterfactual's, on the same grid.
        path: the counterfactual's file.
    """
    grey = _monochrome1(path)
    if grey is None:
        return False
    ours, theirs = pixels(volume), pixels(source)
    turned = (grey.mirror - ours).astype(ours.dtype)
    if (turned == theirs).mean() <= (ours == theirs).mean():
        return False
    put_pixels(volume, turned)
    return True


class Monochrome1(NamedTuple):
    """Grey scale of a file whose large values are dark, in the units that Slicer shows."""

    mirror: float  # sum of both ends of the scale: a value and its inverse add up to it
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
    ends = -1 if ds.PixelRepresentation else (1 << int(ds.BitsStored)) - 1
    slope = float(ds.get("RescaleSlope") or 1.0)
    mirror = slope * ends + 2 * float(ds.get("RescaleIntercept") or 0.0)
    return Monochrome1(mirror, level, width)


def _first(value: Any) -> float:
    """The first of several windows, or the only one."""
    return float(value) if isinstance(value, (int, float)) else float(value[0])


def _share_within(volume: Any, level: float, width: float) -> float:
    """Share of the pixels that lie inside a window."""
    import numpy as np

    distance = np.abs(pixels(volume).astype(np.float64) - level)
    return float((distance <= width / 2).mean())
