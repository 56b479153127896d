# SPDX-License-Identifier: Apache-2.0
"""How the planes of a DICOM Segmentation lie on its source: as it, or turned by what they state.

A source without a plane is carried by an axial one at the origin; one with a plane of its own by
that one too, since Slicer draws there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.turn import UPRIGHT, Turn, letter_of, turn_like, turn_of
from monai_cxr_cf.dicom.values import numbers
from monai_cxr_cf.errors import BadRequest

_CARRIER = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_REDRAW = "Draw the masks on the source image itself and export them without cropping."
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Plane:
    """What a header states of a plane; None: not stated."""

    axes: Numbers | None  # 2 x 3: where rows and columns run to
    first: Numbers | None  # of the first pixel, mm
    spacing: tuple[float, float] | None = None  # of rows, of columns


def seg_turn(ds: Dataset, radiograph: Radiograph) -> Turn:
    """The turn from the frames of a SEG to the source's pixels as stored.

    Raises:
        BadRequest: a plane that is neither the source's own nor the one that carries it.
    """
    turns = {_turn(plane, radiograph) for plane in _planes(ds)} or {UPRIGHT}
    if len(turns) > 1:
        raise BadRequest("The masks lie on several planes.", code="mask_grid", hint=_REDRAW)
    return turns.pop()


def _turn(plane: _Plane, radiograph: Radiograph) -> Turn:
    known = [_Plane(np.array(_CARRIER).reshape(2, 3), np.zeros(3)), *_own(radiograph)]
    shape = radiograph.turn.pair(radiograph.shape)
    for ground in known:
        turn = _onto(plane, ground, shape)
        if turn is not None:
            return turn
    own = len(known) > 1
    raise BadRequest(
        "The masks lie neither on the plane that the source states nor on the one that carries it."
        if own
        else "The masks lie on another plane than the source.",
        code="mask_grid",
        hint=_REDRAW,
    )


def _onto(plane: _Plane, ground: _Plane, shape: tuple[int, int]) -> Turn | None:
    """The turn from one plane to another; None if the two do not meet."""
    turn = _between(plane.axes, ground.axes)
    if turn is None or plane.first is None or ground.first is None:
        return turn
    spacing = plane.spacing or (1.0, 1.0)
    ends = (turn.flip_rows * (shape[0] - 1), turn.flip_columns * (shape[1] - 1))
    corner = plane.first  # the plane's pixel that lies at the ground's first one
    if plane.axes is not None:
        row, column = turn.pair(ends)
        corner = corner + plane.axes[0] * column * spacing[1] + plane.axes[1] * row * spacing[0]
    off = float(np.linalg.norm(corner - ground.first))
    return turn if off < max(0.01, min(spacing) / 4) else None


def _between(axes: Numbers | None, ground: Numbers | None) -> Turn | None:
    """The turn between two pairs of directions; None if they span two planes."""
    if axes is None or ground is None or np.allclose(axes, ground, atol=1e-3):
        return UPRIGHT
    one, other = ([letter_of(axis) for axis in pair] for pair in (axes, ground))
    if not all(one + other) or _axes(one) != _axes(other):
        return None
    first, second = turn_of(*one), turn_of(*other)
    if first is None or second is None:
        return None
    return turn_like(lambda pixels: second.undo(first.apply(pixels)))


def _axes(letters: list[str]) -> set[str]:
    return {{"R": "L", "A": "P", "F": "H"}.get(letter, letter) for letter in letters}


def _own(radiograph: Radiograph) -> list[_Plane]:
    """The plane that the source's header states, if it does."""
    header = radiograph.header
    axes = () if header is None else numbers(header, "ImageOrientationPatient")
    if header is None or len(axes) != 6:
        return []
    first = numbers(header, "ImagePositionPatient")
    place = np.array(first) if len(first) == 3 else None
    return [_Plane(np.array(axes).reshape(2, 3), place)]


def _planes(ds: Dataset) -> list[_Plane]:
    """Every plane that the SEG states, the shared one filled in."""
    shared = next(iter(ds.get("SharedFunctionalGroupsSequence", ())), Dataset())
    frames = list(ds.get("PerFrameFunctionalGroupsSequence", ())) or [Dataset()]
    return [_plane(frame, shared) for frame in frames]


def _plane(frame: Dataset, shared: Dataset) -> _Plane:
    def values(sequence: str, keyword: str) -> tuple[float, ...]:
        for group in (frame, shared):
            for item in group.get(sequence, ()):
                return numbers(item, keyword)
        return ()

    axes = values("PlaneOrientationSequence", "ImageOrientationPatient")
    first = values("PlanePositionSequence", "ImagePositionPatient")
    spacing = values("PixelMeasuresSequence", "PixelSpacing")
    return _Plane(
        np.array(axes).reshape(2, 3) if len(axes) == 6 else None,
        np.array(first) if len(first) == 3 else None,
        (spacing[0], spacing[1]) if len(spacing) == 2 else None,
    )
