# SPDX-License-Identifier: Apache-2.0
"""A mask file in (NRRD, Slicer .seg.nrrd, NIfTI, picture, or a folder of them), named masks out.

They override what the segmenter found (``--masks``). DICOM SEG is read by ``dicom/seg_read.py``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.mask_pictures import (
    SOLID,
    Drawing,
    check_shape,
    grey_drawing,
    is_picture,
    read_picture,
)
from monai_cxr_cf.anatomy.mask_volumes import Volume, read_volume
from monai_cxr_cf.dicom.turn import UPRIGHT, Turn
from monai_cxr_cf.errors import BadRequest, UnreadableInput

if TYPE_CHECKING:
    from monai_cxr_cf.dicom.radiograph import Radiograph

log = logging.getLogger(__name__)
Mask = NDArray[np.bool_]
Notes = list[tuple[str, str]]

LABELS = {1: "right_lung", 2: "left_lung", 3: "heart", 4: "roi"}
VOLUMES = (".nrrd", ".nhdr", ".nii", ".nii.gz")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")
SUFFIXES = (*VOLUMES, *PICTURES)
_SYNONYMS = {
    "right_lung": ("right_lung", "lung_right", "rightlung", "lungright", "r_lung", "lung_r"),
    "left_lung": ("left_lung", "lung_left", "leftlung", "lungleft", "l_lung", "lung_l"),
    "heart": ("heart", "cardiac_silhouette", "cardiac"),
    "roi": ("roi", "region", "edit_region", "region_of_interest"),
}
NAMES = {synonym: name for name, synonyms in _SYNONYMS.items() for synonym in synonyms}
UNTURNED = (
    "mask_unturned",
    "The source is turned by its EXIF orientation and the mask states none: it is taken to lie on "
    "the pixels as stored.",
)


@dataclass(frozen=True)
class Canvas:
    """The radiograph that masks are drawn on."""

    shape: tuple[int, int]  # (H, W), upright: what the masks come out on
    turn: Turn = UPRIGHT  # from the file's pixels to upright
    shown: Turn = UPRIGHT  # from what a viewer shows of the file to upright

    @classmethod
    def of(cls, radiograph: Radiograph) -> Canvas:
        """The ground that a radiograph is."""
        return cls(radiograph.shape, radiograph.turn, radiograph.shown)

    @property
    def stored(self) -> tuple[int, int]:
        """(H, W) of the file's pixels."""
        return self.turn.pair(self.shape)


@dataclass(frozen=True, eq=False)
class _Opened:
    """A mask file, upright, before anything in it has a name."""

    file: Path
    layers: NDArray[Any]  # L x H x W
    header: dict[str, str]
    labelled: bool


def canonical_name(text: str) -> str | None:
    """right_lung, left_lung, heart or roi from "Right Lung", "lung-right", "ROI"; else None."""
    return NAMES.get(re.sub(r"[^a-z]+", "_", text.strip().lower()).strip("_"))


def read_masks(
    path: Path, on: Canvas | tuple[int, int] | None = None, notes: Notes | None = None
) -> dict[str, Mask]:
    """Masks by name, of right_lung, left_lung, heart and roi: H x W bool.

    Names come from Slicer's segments, else from the file's own name (heart.png: what is drawn),
    else from the values 1 right lung, 2 left lung, 3 heart, 4 roi.

    Args:
        path: a mask file, or a folder whose files are named after organs.
        on: the image the masks must lie on, or its (H, W); None accepts any.
        notes: what is worth knowing is added here.

    Raises:
        UnreadableInput: no such file, or not an image.
        BadRequest: another shape or plane, a drawing that could mean two things, or nothing in it
            has a known name.
    """
    path = Path(path)
    masks: dict[str, Mask] = {}
    for file in _files(path):
        for name, mask in _named(_opened(file, _canvas(on), notes)).items():
            if name in masks:
                raise BadRequest(f"Two mask files mean {name}.", hint="Remove one of them.")
            masks[name] = mask
    if not masks:
        raise BadRequest(
            "No mask of a known name was found.",
            hint="Name the segments right_lung, left_lung, heart or roi, or use the values 1 to 4.",
        )
    return masks


def read_region(path: Path, on: Canvas | tuple[int, int], notes: Notes | None = None) -> Mask:
    """One drawn region, H x W bool: its named roi if it has one, else all that is drawn.

    Args:
        path: as ``read_masks``; here the file's name and its label values do not matter.
        on: the image the region must lie on, or its (H, W).
        notes: as ``read_masks``.

    Raises:
        UnreadableInput, BadRequest: as ``read_masks``; also an empty region.
    """
    path = Path(path)
    if path.is_dir():
        masks = read_masks(path, on, notes)
        region = masks["roi"] if "roi" in masks else np.logical_or.reduce(list(masks.values()))
    else:
        region = _region(_opened(path, _canvas(on), notes))
    if not region.any():
        raise BadRequest("The drawn region is empty.", hint="Draw at least one pixel.")
    return region


def _canvas(on: Canvas | tuple[int, int] | None) -> Canvas | None:
    return on if on is None or isinstance(on, Canvas) else Canvas(on)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise UnreadableInput(f"There is no mask file {path.name}.", hint="Check --masks.")
    return sorted(f for f in path.iterdir() if _known(f)) if path.is_dir() else [path]


def _known(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES) and canonical_name(_stem(file)) is not None


def _stem(file: Path) -> str:
    name = file.name.lower()
    suffix = max((each for each in SUFFIXES if name.endswith(each)), key=len, default="")
    return name.removesuffix(suffix).removesuffix(".seg")


def _opened(file: Path, on: Canvas | None, notes: Notes | None) -> _Opened:
    """Read a file and bring it upright."""
    found: Drawing | Volume
    layers: NDArray[Any]
    more: Sequence[tuple[str, str]]
    if is_picture(file):
        sizes = () if on is None else (on.stored, on.stored[::-1])
        found = read_picture(file, sizes)
        layers, header, labelled = found.values[None], {}, found.labelled
        more = found.notes
        if on is not None:
            layers, more = _picture_on(found, on)
    else:
        found = read_volume(
            file, None if on is None else (on.stored, on.shape), ", ".join(SUFFIXES)
        )
        header, more = found.header, found.notes
        layers, labelled = found.turn.apply(found.layers), True
        if not _is_slicers(header):
            drawing = _one_layer(found.layers)
            layers, labelled = found.turn.apply(drawing.values[None]), drawing.labelled
            more = (*more, *drawing.notes)
        if on is not None and not found.upright:
            layers = on.turn.apply(layers)
    if on is not None:
        check_shape((layers.shape[1], layers.shape[2]), (on.shape,))
    if notes is not None:
        notes += [note for note in more if note not in notes]
    return _Opened(file, layers, header, labelled)


def _picture_on(found: Drawing, on: Canvas) -> tuple[NDArray[Any], Notes]:
    """A picture upright: by its own EXIF it lies as viewers show it, else as the file's pixels."""
    notes = list(found.notes)
    values = found.values
    if found.turn is not None:
        return on.shown.apply(found.turn.apply(values))[None], notes
    if on.shown != on.turn:  # the source states an EXIF orientation, and the mask does not
        if values.shape != on.stored:
            return on.shown.apply(values)[None], notes
        notes.append(UNTURNED)
    check_shape((values.shape[0], values.shape[1]), (on.stored,))
    return on.turn.apply(values)[None], notes


def _one_layer(layers: NDArray[Any]) -> Drawing:
    """The values of a volume that has no named segments."""
    if layers.shape[0] > 1:
        raise BadRequest(
            f"The mask has {layers.shape[0]} channels and no named segments.",
            hint="Save it with one channel.",
        )
    values = layers[0]
    if values.dtype.kind == "f":
        return grey_drawing(values)
    return Drawing(values, True)


def _is_slicers(header: dict[str, str]) -> bool:
    return any(re.fullmatch(r"Segment\d+_Name", key) for key in header)


def _named(opened: _Opened) -> dict[str, Mask]:
    """What a file holds, by name."""
    if _is_slicers(opened.header):
        return _segments(opened.layers, opened.header)
    values = opened.layers[0]
    labels = sorted(set(np.unique(values).tolist()) - {0})
    name = canonical_name(_stem(opened.file))
    if name is not None:
        if len(labels) > 1:
            raise BadRequest(
                f"{opened.file.name} is named after one organ and holds {len(labels)} labels.",
                hint="Give it one value, or a name that is no organ's for labels 1 to 4.",
            )
        return {name: values != 0}
    if not opened.labelled or set(labels) - set(LABELS):
        shown = [SOLID] if not opened.labelled else labels[:8]
        raise BadRequest(
            f"{opened.file.name} holds the label values {shown}.",
            hint="Use 1 right lung, 2 left lung, 3 heart, 4 roi, or name the file after its organ.",
        )
    return {LABELS[int(value)]: values == value for value in labels}


def _region(opened: _Opened) -> Mask:
    """The region of a file: a segment of that name, else the label 4 among 1 to 4, else all."""
    if _is_slicers(opened.header):
        masks = _segments(opened.layers, opened.header)
        if "roi" in masks:
            return masks["roi"]
        return np.asarray((opened.layers != 0).any(axis=0))
    values = opened.layers[0]
    labels = set(np.unique(values).tolist()) - {0}
    if opened.labelled and labels <= set(LABELS) and 4 in labels:
        return np.asarray(values == 4)
    return np.asarray(values != 0)


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
