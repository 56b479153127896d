# SPDX-License-Identifier: Apache-2.0
"""Which way up a picture is stored: one of eight turns to the standard one, and the way back.

Standard is how a frontal radiograph is looked at: the patient's left on the picture's right, the
feet below (PatientOrientation L\\F, PS3.3 C.7.6.1.1.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import UnsupportedImage

_Array = TypeVar("_Array", bound=NDArray[Any])
_RIGHT, _DOWN = {"L": False, "R": True}, {"F": False, "P": False, "H": True, "A": True}
_CARRIER, _PATIENT = "LRPA", "LRFH"  # letters of an axial plane, and of a frontal one
_MIN_COSINE = 0.95  # a direction further off an axis names no letter


@dataclass(frozen=True)
class Turn:
    """From an array as stored to the standard one: first the swap of its axes, then the flips."""

    swap: bool = False  # rows become columns
    flip_rows: bool = False  # the last row becomes the first
    flip_columns: bool = False

    def __bool__(self) -> bool:
        """Whether anything moves."""
        return self.swap or self.flip_rows or self.flip_columns

    def apply(self, stored: _Array) -> _Array:
        """(..., H, W) as stored -> standard; the array itself where nothing moves."""
        if not self:
            return stored
        turned: Any = np.swapaxes(stored, -1, -2) if self.swap else stored
        return np.ascontiguousarray(turned[self._steps])  # type: ignore[return-value]

    def undo(self, standard: _Array) -> _Array:
        """(..., H, W) standard -> as stored, the exact inverse of ``apply``."""
        if not self:
            return standard
        turned: Any = standard[self._steps]
        turned = np.swapaxes(turned, -1, -2) if self.swap else turned
        return np.ascontiguousarray(turned)  # type: ignore[return-value]

    def pair(self, values: tuple[Any, Any]) -> tuple[Any, Any]:
        """(of rows, of columns), such as a shape or a spacing, from one grid to the other."""
        return (values[1], values[0]) if self.swap else values

    @property
    def _steps(self) -> tuple[Any, slice, slice]:
        back, forth = slice(None, None, -1), slice(None)
        return ..., back if self.flip_rows else forth, back if self.flip_columns else forth

    @property
    def words(self) -> str:
        """How the stored picture lies: "mirrored", "upside down", ..."""
        return _WORDS[self.swap, self.flip_rows, self.flip_columns]


UPRIGHT = Turn()
_WORDS = {
    (False, False, False): "upright",
    (False, False, True): "mirrored",
    (False, True, False): "upside down",
    (False, True, True): "turned by 180 degrees",
    (True, False, False): "turned and mirrored",
    (True, True, False): "turned by 90 degrees",
    (True, False, True): "turned by 90 degrees",
    (True, True, True): "turned and mirrored",
}
# The tag Orientation of EXIF (0x0112) -> the turn that a viewer makes before it shows the picture.
EXIF = {
    1: UPRIGHT,
    2: Turn(flip_columns=True),
    3: Turn(flip_rows=True, flip_columns=True),
    4: Turn(flip_rows=True),
    5: Turn(swap=True),
    6: Turn(swap=True, flip_columns=True),
    7: Turn(swap=True, flip_rows=True, flip_columns=True),
    8: Turn(swap=True, flip_rows=True),
}
EXIF_TAG = 0x0112


def between(first: Turn, second: Turn) -> Turn:
    """The turn that leads from what ``first`` gives to what ``second`` gives."""
    return turn_like(lambda pixels: second.apply(first.undo(pixels)))


def turn_like(move: Callable[[NDArray[Any]], NDArray[Any]]) -> Turn:
    """The turn that does to every picture what a chain of turns does."""
    probe = np.arange(6).reshape(2, 3)
    goal = move(probe)
    return next(turn for turn in EXIF.values() if np.array_equal(turn.apply(probe), goal))


def exif_turn(image: Any) -> Turn:
    """What the EXIF orientation of a picture decoded by Pillow asks for; upright without one."""
    try:
        value = image.getexif().get(EXIF_TAG, 1)
    except Exception as error:  # Pillow's parser raises many types on hostile bytes
        raise UnsupportedImage(
            "The picture's EXIF cannot be read; it may ask for another orientation.",
            code="orientation",
            hint="Save it again without EXIF, the right way up.",
        ) from error
    if value not in EXIF:
        raise UnsupportedImage(
            f"The picture's EXIF orientation is {str(value)[:20]}; expected 1 to 8.",
            code="orientation",
            hint="Save it again without EXIF, the right way up.",
        )
    return EXIF[value]


def exif_of(turn: Turn) -> int:
    """The EXIF value that asks a viewer for this turn."""
    return next(value for value, known in EXIF.items() if known == turn)


def turn_of(along_rows: str, along_columns: str) -> Turn | None:
    """The turn of a picture from where its rows and columns run to: L R, and F H or P A.

    P and A stand for F and H where a radiograph lies on a plane that only carries it. None: the
    two letters span neither a frontal nor such a plane.
    """
    pair = along_rows + along_columns
    if not (set(pair) <= set(_CARRIER) or set(pair) <= set(_PATIENT)):
        return None
    if along_rows in _RIGHT and along_columns in _DOWN:
        return Turn(False, _DOWN[along_columns], _RIGHT[along_rows])
    if along_rows in _DOWN and along_columns in _RIGHT:
        return Turn(True, _DOWN[along_rows], _RIGHT[along_columns])
    return None


def letter_of(direction: NDArray[np.floating]) -> str:
    """L, R, P, A, H or F of three direction cosines (x to the left, y to the back, z to the head).

    Empty where the direction is none, or runs between the axes.
    """
    length = float(np.linalg.norm(direction))
    if not np.isfinite(length) or not 0.5 < length < 2:
        return ""
    axis = int(np.argmax(np.abs(direction)))
    share = float(direction[axis]) / length
    if abs(share) < _MIN_COSINE:
        return ""
    return ("LPH" if share > 0 else "RAF")[axis]
