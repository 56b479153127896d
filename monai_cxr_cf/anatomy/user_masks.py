# SPDX-License-Identifier: Apache-2.0
"""A mask file in (NRRD, Slicer .seg.nrrd, NIfTI, PNG, or a folder of them), named masks out.

They override what the segmenter found (``--masks``). DICOM SEG is read by ``dicom/seg_read.py``.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import BadRequest, UnreadableInput

log = logging.getLogger(__name__)
Mask = NDArray[np.bool_]

LABELS = {1: "right_lung", 2: "left_lung", 3: "heart", 4: "roi"}
SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".png")
_SYNONYMS = {
    "right_lung": ("right_lung", "lung_right", "rightlung", "lungright", "r_lung", "lung_r"),
    "left_lung": ("left_lung", "lung_left", "leftlung", "lungleft", "l_lung", "lung_l"),
    "heart": ("heart", "cardiac_silhouette", "cardiac"),
    "roi": ("roi", "region", "edit_region", "region_of_interest"),
}
NAMES = {synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms}


def canonical_name(text: str) -> str | None:
    """right_lung, left_lung, heart or roi from "Right Lung", "lung-right", "ROI"; else None."""
    return NAMES.get(re.sub(r"[^a-z]+", "_", text.strip().lower()).strip("_"))


def read_masks(path: Path, shape: tuple[int, int] | None = None) -> dict[str, Mask]:
    """Masks by name, of right_lung, left_lung, heart and roi: H x W bool.

    Names come from Slicer's segments, else from the file's own name (heart.png: every non-zero
    pixel), else from the values 1 right lung, 2 left lung, 3 heart, 4 roi.

    Args:
        path: a mask file, or a folder whose files are named after organs.
        shape: (H, W) of the image the masks must lie on; None accepts any.

    Raises:
        UnreadableInput: no such file, or not an image.
        BadRequest: another shape, or nothing in it has a known name.
    """
    path = Path(path)
    if not path.exists():
        raise UnreadableInput(f"There is no mask file {path.name}.", hint="Check --masks.")
    files = sorted(f for f in path.iterdir() if _known(f)) if path.is_dir() else [path]
    masks: dict[str, Mask] = {}
    for file in files:
        masks |= _read_file(file, shape)
    if not masks:
        raise BadRequest(
            "No mask of a known name was found.",
            hint="Name the segments right_lung, left_lung, heart or roi, or use the values 1 to 4.",
        )
    for name, mask in masks.items():
        if shape is not None and mask.shape != tuple(shape):
            raise BadRequest(
                f"The {name} mask is {mask.shape[0]} x {mask.shape[1]}, the image "
                f"{shape[0]} x {shape[1]}.",
                hint="Draw masks on the source image itself, without resampling.",
            )
    return masks


def read_region(path: Path, shape: tuple[int, int]) -> Mask:
    """One drawn region, H x W bool: its named roi if it has one, else every pixel that is not 0.

    Args:
        path: as ``read_masks``; here the file's name and its label values do not matter.
        shape: (H, W) of the image the region must lie on.

    Raises:
        UnreadableInput, BadRequest: as ``read_masks``; also an empty region.
    """
    try:
        masks = read_masks(path, shape)
    except BadRequest:
        if Path(path).is_dir():
            raise
        masks = {"roi": _any_label(Path(path), shape)}
    region = masks["roi"] if "roi" in masks else np.logical_or.reduce(list(masks.values()))
    if not region.any():
        raise BadRequest("The drawn region is empty.", hint="Draw at least one pixel.")
    return region


def _any_label(file: Path, shape: tuple[int, int]) -> Mask:
    import SimpleITK as sitk

    image = sitk.ReadImage(str(file))
    layers = _layers(sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel())
    region = np.asarray(np.any(layers != 0, axis=0))
    if region.shape != shape:
        raise BadRequest(
            f"The region is {region.shape[0]} x {region.shape[1]}, the image {shape[0]} x "
            f"{shape[1]}.",
            hint="Draw it on the source image itself, without resampling.",
        )
    return region


def _known(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES) and canonical_name(_stem(file)) is not None


def _stem(file: Path) -> str:
    return re.sub(r"(\.seg)?(\.nrrd|\.nhdr|\.nii|\.nii\.gz|\.png)$", "", file.name.lower())


def _read_file(file: Path, shape: tuple[int, int] | None) -> dict[str, Mask]:
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(file))
    except RuntimeError as error:
        raise UnreadableInput(
            f"{file.name} cannot be read as an image.",
            hint=f"Use one of {', '.join(SUFFIXES)}, or DICOM SEG.",
        ) from error
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    layers = _layers(sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel())
    if shape is not None and "Segmentation_ReferenceImageExtentOffset" in header:
        layers = _uncrop(layers, header["Segmentation_ReferenceImageExtentOffset"], shape)
    if any(re.fullmatch(r"Segment\d+_Name", key) for key in header):
        return _segments(layers, header)
    named = canonical_name(_stem(file))
    if named is not None:
        return {named: layers[0] != 0}
    values = set(np.unique(layers[0]).tolist()) - {0}
    unknown = values - set(LABELS)
    if unknown:
        raise BadRequest(
            f"{file.name} holds the label values {sorted(values)[:8]}.",
            hint="Use 1 right lung, 2 left lung, 3 heart, 4 roi, or name the file after its organ.",
        )
    return {LABELS[int(value)]: layers[0] == value for value in sorted(values)}


def _layers(array: NDArray[np.generic], components: int) -> NDArray[np.generic]:
    """(L, H, W): one plane per layer of overlapping segments (or colour channel)."""
    planes = np.moveaxis(array, -1, 0) if components > 1 else array[None]
    flat = planes.reshape(planes.shape[0], -1, *planes.shape[-2:])
    if flat.shape[1] != 1:
        raise BadRequest(
            f"The mask has {flat.shape[1]} slices.", hint="A radiograph's mask has one slice."
        )
    return flat[:, 0]


def _segments(layers: NDArray[np.generic], header: dict[str, str]) -> dict[str, Mask]:
    """Slicer's segments: names, label values and layers from the NRRD header."""
    masks: dict[str, Mask] = {}
    skipped = 0
    for key in header:
        match = re.fullmatch(r"Segment(\d+)_Name", key)
        if match is None:
            continue
        name = canonical_name(header[key])
        if name is None:
            skipped += 1
            continue
        value = int(header.get(f"Segment{match[1]}_LabelValue", "1"))
        layer = int(header.get(f"Segment{match[1]}_Layer", "0"))
        masks[name] = layers[layer] == value
    if skipped:
        log.warning("%d segments have no known name and are not used", skipped)
    return masks


def _uncrop(
    layers: NDArray[np.generic], offset: str, shape: tuple[int, int]
) -> NDArray[np.generic]:
    """Slicer may save only the drawn part; its offset (columns, rows, slices) puts it back."""
    left, top = (int(value) for value in offset.split()[:2])
    rows, columns = layers.shape[1:]
    if (rows, columns) == tuple(shape):
        return layers
    if top < 0 or left < 0 or top + rows > shape[0] or left + columns > shape[1]:
        return layers  # another image's mask: refused by its shape
    full = np.zeros((layers.shape[0], *shape), layers.dtype)
    full[:, top : top + rows, left : left + columns] = layers
    return full
