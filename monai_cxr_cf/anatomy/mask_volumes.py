# SPDX-License-Identifier: Apache-2.0
"""A mask volume in (NRRD, Slicer's .seg.nrrd, NIfTI), its layers and how they lie out.

A radiograph without a plane of its own is carried by an axial one: rows to the left, columns to
the back. A mask drawn on it states that plane, or a turned one; a mask of the frontal plane lies
as the patient does.
"""

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.mask_pictures import check_shape
from monai_cxr_cf.dicom.turn import Turn, letter_of, turn_of
from monai_cxr_cf.errors import BadRequest, UnreadableInput

AXES = (
    "mask_axes",
    "The mask file states no directions: its first axis is taken to run along the rows.",
)
LARGEST = 512_000_000  # pixels; the reader's own limit may have been raised
OFFSET = "Segmentation_ReferenceImageExtentOffset"
_REDRAW = "Save it again as PNG, or from 3D Slicer with the radiograph as reference."
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Volume:
    """The layers of a mask volume."""

    layers: NDArray[np.generic]  # L x H x W on the file's own grid: Slicer's overlapping layers
    header: dict[str, str]
    turn: Turn  # to the picture as stored, or to the upright one
    upright: bool  # ``turn`` leads to the upright one
    notes: tuple[tuple[str, str], ...] = ()


def read_volume(file: Path, sizes: tuple[Size, Size] | None, suffixes: str) -> Volume:
    """Layers and lie of a mask volume.

    Args:
        file: what SimpleITK reads.
        sizes: (H, W) of the radiograph as its file has it, and upright; None: any size.
        suffixes: what to name where the file is no image.

    Raises:
        UnreadableInput: not an image.
        BadRequest: several slices, an oblique or sagittal plane, or a NIfTI without directions.
    """
    import SimpleITK as sitk

    image = _read(file, suffixes)
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    layers = _layers(sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel())
    turn, upright = lie_of(image, nifti=".nii" in file.name.lower())
    if sizes is not None:
        goal = sizes[1] if upright else sizes[0]
        layers = _uncrop(layers, header.get(OFFSET, ""), turn.pair(goal))
        check_shape(turn.pair((layers.shape[1], layers.shape[2])), (goal,))
    plain = not any(key.startswith(("NRRD_kinds", "NRRD_space", "sform")) for key in header)
    square = layers.shape[1] == layers.shape[2]
    return Volume(layers, header, turn, upright, (AXES,) if plain and square else ())


def _read(file: Path, suffixes: str) -> Any:
    """A SimpleITK image, its slices and size judged from the header."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if sum(count > 1 for count in size) > 2:
            raise BadRequest(
                f"The mask has {size[2]} slices.", hint="A radiograph's mask has one slice."
            )
        if prod(size) > LARGEST:
            raise BadRequest(f"The mask has more than {LARGEST / 1e6:g} Mpixel.", hint=_REDRAW)
        return reader.Execute()
    except RuntimeError as error:
        raise UnreadableInput(
            f"{file.name} cannot be read as an image.", hint=f"Use one of {suffixes}, or DICOM SEG."
        ) from error


def lie_of(image: Any, *, nifti: bool) -> tuple[Turn, bool]:
    """The turn of a flat SimpleITK image, and whether it leads to the upright picture.

    Raises:
        BadRequest: an oblique or sagittal plane, or a NIfTI that states no direction.
    """
    rows, columns, origin = _directions(image)
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    if nifti and _says_nothing(header, rows + columns, origin):
        raise BadRequest(
            "The NIfTI file has an identity affine, which states no direction: which way its rows "
            "run cannot be told.",
            code="direction",
            hint=_REDRAW,
        )
    turn = turn_of(rows, columns) if rows and columns else None
    if turn is None:
        raise BadRequest(
            "The file's plane is neither axial nor frontal; expected that of a radiograph.",
            code="direction",
            hint=_REDRAW,
        )
    return turn, bool({rows, columns} & set("HF"))


def _layers(array: NDArray[np.generic], components: int) -> NDArray[np.generic]:
    """(L, H, W): one plane per layer of overlapping segments."""
    planes = np.moveaxis(array, -1, 0) if components > 1 else array[None]
    if planes.ndim > 3:
        flat = [axis for axis in range(1, planes.ndim) if planes.shape[axis] == 1]
        planes = planes.squeeze(tuple(flat[: planes.ndim - 3]))
    return planes


def _directions(image: Any) -> tuple[str, str, float]:
    """Letters that rows and columns run to, and how far the first pixel is from the origin."""
    size, count = image.GetSize(), image.GetDimension()
    matrix = np.array(image.GetDirection()).reshape(count, count)
    whole = np.eye(3)
    whole[: min(count, 3), : min(count, 3)] = matrix[:3, :3]
    flat = [axis for axis in range(min(count, 3)) if size[axis] > 1]
    kept = sorted((flat + [axis for axis in (0, 1, 2) if axis not in flat])[:2])
    rows, columns = (letter_of(whole[:, axis]) for axis in kept)
    place = np.array(image.GetOrigin()) / np.array(image.GetSpacing())
    return rows, columns, float(np.abs(place[:2]).max())


def _says_nothing(header: dict[str, str], letters: str, origin: float) -> bool:
    """Whether a NIfTI has no affine, or the identity that nibabel's users give it."""
    if header.get("sform_code") == header.get("qform_code") == "0":
        return True
    return letters == "RA" and origin < 0.5


def _uncrop(layers: NDArray[np.generic], offset: str, shape: Size) -> NDArray[np.generic]:
    """Slicer may save only the drawn part; its offset (columns, rows, slices) puts it back."""
    rows, columns = layers.shape[1:]
    if not re.fullmatch(r"\s*-?\d+\s+-?\d+(\s+-?\d+)?\s*", offset) or (rows, columns) == shape:
        return layers
    left, top = (int(value) for value in offset.split()[:2])
    if top < 0 or left < 0 or top + rows > shape[0] or left + columns > shape[1]:
        return layers  # another image's mask: refused by its shape
    full = np.zeros((layers.shape[0], *shape), layers.dtype)
    full[:, top : top + rows, left : left + columns] = layers
    return full
