# SPDX-License-Identifier: Apache-2.0
"""Header -> which way the picture is stored: PatientOrientation, ImageOrientationPatient, EXIF.

What they say is followed; where they contradict, name no frontal view or cannot be understood, the
file is refused until ``--orientation`` says what is right.
"""

import re
from typing import NamedTuple

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.reading.identity import Note
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.turn import UPRIGHT, Turn, exif_turn, letter_of, turn_of
from monai_cxr_cf.dicom.values import numbers, texts
from monai_cxr_cf.errors import UnsupportedImage

_LETTERS = re.compile(r"[LRAPHF]{1,3}")  # the principal direction first, then finer ones
_HINT = "Pass --orientation L/F if the picture is upright as stored; L/F: rows to left, then feet."
_PLANE = "ImageOrientationPatient"


class Lie(NamedTuple):
    """How the pixels of a PNG or JPEG lie."""

    turn: Turn  # from stored to upright
    exif: Turn  # from stored to what a viewer shows
    notes: list[Note]


def read_orientation(ds: Dataset, options: ReadOptions) -> tuple[Turn, list[Note]]:
    """The turn from stored to upright, and what is worth knowing about it.

    Raises:
        UnsupportedImage: no frontal view, a contradiction, or values that mean nothing.
    """
    if options.orientation is not None:
        return _overruled(options.orientation)
    notes: list[Note] = []
    stated = _by_letters(ds, options)
    plane = _by_plane(ds, options, notes)
    if stated is not None and plane is not None and stated != plane:
        raise UnsupportedImage(
            f"PatientOrientation says {stated.words}, {_PLANE} says {plane.words}; expected one "
            "answer.",
            code="orientation",
            hint=_HINT,
        )
    turn = stated or plane or UPRIGHT
    if turn:
        notes.append(_told("The header", turn))
    return turn, notes


def raster_orientation(image: Image.Image, options: ReadOptions) -> Lie:
    """How a decoded PNG or JPEG lies; a value that EXIF does not define is refused."""
    exif = exif_turn(image)
    if options.orientation is not None:
        turn, notes = _overruled(options.orientation)
        return Lie(turn, exif, notes)
    return Lie(exif, exif, [_told("The EXIF orientation", exif)] if exif else [])


def _overruled(asked: str) -> tuple[Turn, list[Note]]:
    turn = turn_of(*asked.split("/")) or UPRIGHT  # ReadOptions has checked it
    return turn, [("orientation_overruled", f"Orientation taken from --orientation {asked}.")]


def _told(who: str, turn: Turn) -> Note:
    return (
        "orientation",
        f"{who} says that the picture is stored {turn.words}: it is read upright, and every output "
        "lies as the source does.",
    )


def _by_letters(ds: Dataset, options: ReadOptions) -> Turn | None:
    """What PatientOrientation (PS3.3 C.7.6.1.1.1) says; None if it is absent."""
    values = [value.strip().upper() for value in texts(ds, "PatientOrientation")]
    if not any(values):
        return None
    if len(values) != 2 or not all(_LETTERS.fullmatch(value) for value in values):
        raise UnsupportedImage(
            "PatientOrientation is not two directions made of L, R, A, P, H and F.",
            code="orientation",
            hint=_HINT,
        )
    return _frontal("PatientOrientation", (values[0][0], values[1][0]), options)


def _by_plane(ds: Dataset, options: ReadOptions, notes: list[Note]) -> Turn | None:
    """What ImageOrientationPatient (PS3.3 C.7.6.2.1.1) says; None if absent or a mere carrier."""
    values = numbers(ds, _PLANE)
    if not values:
        return None
    rows, columns = (letter_of(np.array(values[i : i + 3])) for i in (0, 3))
    if len(values) != 6 or not rows or not columns:
        raise UnsupportedImage(
            f"{_PLANE} names no plane along the patient's axes.", code="orientation", hint=_HINT
        )
    if rows + columns == "LP":
        notes.append(("plane", f"{_PLANE} is that of an axial slice and is not followed."))
        return None
    return _frontal(_PLANE, (rows, columns), options)


def _frontal(name: str, letters: tuple[str, str], options: ReadOptions) -> Turn:
    """The turn of a frontal picture; of a lateral one, if allowed, head and feet alone."""
    pair, found = "".join(letters), "\\".join(letters)
    lateral = bool(set(pair) & set("HF")) and bool(set(pair) & set("AP"))
    if lateral and not options.allow_lateral:
        raise UnsupportedImage(
            f"{name} ({found}) is that of a lateral view; expected a frontal view.",
            code="lateral",
            hint="Choose the frontal image of the study, or pass --allow-lateral.",
        )
    if lateral:
        letters = tuple("L" if letter in "AP" else letter for letter in letters)  # type: ignore[assignment]
    turn = turn_of(*letters) if set(letters) & set("HF") else None
    if turn is None:
        raise UnsupportedImage(
            f"{name} ({found}) is not that of a frontal view; expected left or right, and head or "
            "feet.",
            code="orientation",
            hint=_HINT,
        )
    return turn
