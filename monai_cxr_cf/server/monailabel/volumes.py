# SPDX-License-Identifier: Apache-2.0
"""Images as MONAI Label clients send them, and label maps as they expect them back.

In: DICOM, PNG, or NRRD and NIfTI without a header, which serve for masks only. Out: a source that
the worker reads, its geometry, and an NRRD label map with that very geometry. What opens an upload
runs in the capped child.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.mask_volumes import lie_of
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.turn import EXIF_TAG, exif_of
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage
from monai_cxr_cf.server.uploads.examine import refuse_detached

DICOM, RASTER = "dicom", "raster"
SUFFIXES = (".dcm", ".png", ".jpg", ".nrrd", ".nii.gz", ".nii")
_MARKS = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"NRRD000": ".nrrd",
    b"\x1f\x8b": ".nii.gz",
}
_KINDS = {".dcm": DICOM, ".png": RASTER, ".jpg": RASTER}
_LOW, _HIGH = 0.5, 99.5  # percentiles of the window: these files state none
_TOP = 65535


@dataclass(frozen=True)
class Geometry:
    """Where a label map lies: as SimpleITK has it, x first."""

    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def suffix_of(head: bytes) -> str:
    """The suffix for a file by its first 348 bytes or more; its name is not believed.

    Raises:
        UnreadableInput: no format of an image.
    """
    if head[128:132] == b"DICM":
        return ".dcm"
    if head[344:348] == b"n+1\0":
        return ".nii"
    found = next((kind for mark, kind in _MARKS.items() if head.startswith(mark)), None)
    if found is None:
        raise UnreadableInput(
            "The file is neither DICOM nor PNG, JPEG, NRRD or NIfTI.",
            code="image_format",
            hint="Send one radiograph in one of these formats.",
        )
    return found


def prepare(file: str, suffix: str, folder: str) -> dict[str, Any]:
    """Make ``folder/source``, which a ``segment`` job reads; runs in the capped child.

    Args:
        file: the image as it was sent.
        suffix: from ``suffix_of``.
        folder: an existing folder.

    Returns:
        ``reading``: fields of ``ReadOptions``; ``geometry``: fields of ``Geometry``.

    Raises:
        UnreadableInput, UnsupportedImage, BadRequest: as the reader says; several slices; colour.
    """
    source = Path(folder) / "source"
    if _KINDS.get(suffix) is None:
        named = Path(folder) / f"volume{suffix}"
        named.symlink_to(file)
        try:
            return {"reading": {"allow_raster": True}, "geometry": _from_volume(named, source)}
        finally:
            named.unlink()
    raster = _KINDS[suffix] == RASTER
    reading = {"allow_raster": True} if raster else {}
    radiograph = read_source(file, ReadOptions(allow_raster=raster))
    source.write_bytes(Path(file).read_bytes())
    rows, columns = radiograph.as_stored().spacing.display or (1.0, 1.0)
    return {"reading": reading, "geometry": asdict(Geometry((columns, rows, 1.0)))}


def write_labels(
    labels: NDArray[np.uint8], geometry: Mapping[str, Any], path: Path, *, dtype: str, packed: bool
) -> None:
    """An H x W label map as a file of one slice.

    Args:
        labels: H x W, 0 is background.
        geometry: fields of ``Geometry``.
        path: ends in .nrrd.
        dtype: uint8 or uint16.
        packed: compress it.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(labels.astype(dtype)[np.newaxis])
    image.SetSpacing(tuple(geometry["spacing"]))
    image.SetOrigin(tuple(geometry["origin"]))
    image.SetDirection(tuple(geometry["direction"]))
    sitk.WriteImage(image, str(path), useCompression=packed)


def centroids(labels: NDArray[np.uint8]) -> list[dict[str, list[int]]]:
    """``[{"label_1": [1, x, y, z]}, ...]`` of the labels that are there, as MONAI Label has it."""
    found = []
    for value in sorted(set(np.unique(labels).tolist()) - {0}):
        rows, columns = np.nonzero(labels == value)
        place = [int(value), int(columns.mean()), int(rows.mean()), 0]
        found.append({f"label_{value}": place})
    return found


def check_label(file: str, shape: tuple[int, int] | None) -> dict[str, int]:
    """Open a label map in the capped child: one slice of whole numbers, on the image's grid.

    Raises:
        UnreadableInput, UnsupportedImage: it is none.
    """
    refuse_detached(Path(file))
    image = _opened(Path(file))
    array = _slice(image, what="label map")
    if array.dtype.kind not in "iu" and not np.array_equal(array, np.round(array)):
        raise UnsupportedImage("The label map holds fractions.", code="label_values")
    if shape is not None and array.shape != tuple(shape):
        raise UnsupportedImage(
            f"The label map is {array.shape[0]} x {array.shape[1]}, the image "
            f"{shape[0]} x {shape[1]}.",
            code="label_shape",
            hint="Draw labels on the image itself, without resampling.",
        )
    return {"rows": array.shape[0], "columns": array.shape[1]}


def _from_volume(file: Path, source: Path) -> dict[str, Any]:
    """NRRD or NIfTI -> 16-bit PNG ``source``; the window is ours, as the file has none."""
    from PIL import Image

    refuse_detached(file)
    image = _opened(file)
    values = _slice(image, what="image").astype(np.float64)
    if not np.isfinite(values).all():
        raise UnsupportedImage("The image holds values that are no numbers.", code="values")
    low, high = np.percentile(values, (_LOW, _HIGH))
    if low == high:
        low, high = values.min(), values.max()
    if low == high:
        raise UnsupportedImage("The image is constant.", code="constant")
    shown = np.clip((values - low) / (high - low), 0, 1) * _TOP
    turn, _ = lie_of(image, nifti=".nii" in file.suffixes)
    exif = Image.Exif()
    exif[EXIF_TAG] = exif_of(turn)
    Image.fromarray(np.round(shown).astype(np.uint16)).save(source, "PNG", exif=exif)
    if image.GetDimension() == 3:
        kept = (image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        return asdict(Geometry(*kept))
    a, b, c, d = image.GetDirection()
    flat = (a, b, 0.0, c, d, 0.0, 0.0, 0.0, 1.0)
    return asdict(Geometry((*image.GetSpacing(), 1.0), (*image.GetOrigin(), 0.0), flat))


def _opened(file: Path) -> Any:
    """The file by its own format's reader, its size judged first."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.SetImageIO("NrrdImageIO" if file.suffix == ".nrrd" else "NiftiImageIO")
    try:
        reader.ReadImageInformation()
        most = ReadOptions().max_pixels
        if int(np.prod([float(n) for n in reader.GetSize()])) > most:
            raise UnsupportedImage(
                f"The image has more than {most / 1e6:g} Mpixel.", code="too_many_pixels"
            )
        return reader.Execute()
    except RuntimeError as error:
        raise UnreadableInput("The file cannot be read as an image.", code="undecodable") from error


def _slice(image: Any, *, what: str) -> NDArray[Any]:
    """H x W of an image with one channel and one slice."""
    import SimpleITK as sitk

    if image.GetNumberOfComponentsPerPixel() != 1:
        raise UnsupportedImage(f"The {what} has several channels; expected one.", code="colour")
    array: NDArray[Any] = sitk.GetArrayFromImage(image)
    planes = array.reshape(-1, *array.shape[-2:])
    if array.ndim not in (2, 3) or planes.shape[0] != 1:
        raise UnsupportedImage(
            f"The {what} has {planes.shape[0]} slices; a radiograph has one.", code="slices"
        )
    found: NDArray[Any] = planes[0]
    return found
