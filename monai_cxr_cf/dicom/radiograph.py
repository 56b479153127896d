# SPDX-License-Identifier: Apache-2.0
"""The radiograph as the package sees it: the picture, the stored values and the way back.

Made by ``reading.read.read_radiograph``; the engine edits ``pixels`` and returns a change, which
``Radiograph.to_stored`` turns into stored values for ``dicom.writing``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.display import Display, Floats, Integers, stored_range
from monai_cxr_cf.dicom.reading.view import view_of
from monai_cxr_cf.dicom.spacing import Spacing
from monai_cxr_cf.dicom.turn import UPRIGHT, Turn, between
from monai_cxr_cf.errors import BadRequest

Polarity = Literal["MONOCHROME1", "MONOCHROME2"]
_Array = TypeVar("_Array", bound=npt.NDArray[Any])


@dataclass(frozen=True)
class Voi:
    """How stored values became display values, as applied, before polarity."""

    function: str  # LINEAR, LINEAR_EXACT, SIGMOID or LUT
    origin: str  # "window 1 of 2", "VOI LUT 1 of 1", "percentile 0.5-99.5" or "full range"
    center: float | None = None  # in modality units; None for a LUT
    width: float | None = None
    modality: str = "none"  # none, rescale or LUT
    slope: float = 1.0  # stored -> modality units; 1 and 0 unless modality is rescale
    intercept: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """For JSON and SR."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph on its native grid; arrays are HxW, rows down, columns right, read-only.

    They lie as one looks at a chest, whichever way the file has them: ``turn`` leads from the file
    to here, ``as_stored`` back. Outputs are written on the file's own grid.
    """

    pixels: npt.NDArray[np.float32]  # HxW, 0..1, bright = dense; 0 where not valid
    valid: npt.NDArray[np.bool_]  # HxW, False = padding, never edited
    stored: Integers  # HxW, exactly as stored: uint8, uint16, int8 or int16
    header: Dataset | None  # without pixel data; None for PNG and JPEG input
    spacing: Spacing
    polarity: Polarity  # as applied
    voi: Voi  # as applied
    display: Display  # stored -> 0..1 with polarity, and its inverse
    warnings: tuple[tuple[str, str], ...]  # (code, message), in the order they were found
    sha256: str  # of the stored pixels as the file has them, little-endian bytes in C order
    bits_stored: int
    signed: bool
    padding: tuple[int, int] | None  # stored values lowest..highest that mean padding
    source_sop_uid: str  # SOPInstanceUID; for raster input a 2.25 UID made from sha256
    turn: Turn = UPRIGHT  # from the arrays of the file to these
    exif: Turn = UPRIGHT  # from the arrays of a PNG or JPEG to what a viewer shows of it

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        rows, columns = self.stored.shape
        return rows, columns

    @property
    def aspect(self) -> float:
        """Row spacing over column spacing; 1 where the file says nothing."""
        spacing = self.spacing.physical or self.spacing.display
        return 1.0 if spacing is None else spacing[0] / spacing[1]

    @property
    def view(self) -> str:
        """PA, AP, or what else the header says; empty if it names no view."""
        return "" if self.header is None else view_of(self.header)

    @property
    def shown(self) -> Turn:
        """From the picture as a viewer shows the file to these arrays: DICOM is shown as stored."""
        return between(self.exif, self.turn)

    def turned(self, turn: Turn) -> "Radiograph":
        """The same radiograph, whose arrays were stored another way, as one looks at it."""
        return self if not turn else replace(self._moved(turn.apply, turn), turn=turn)

    def as_stored(self) -> "Radiograph":
        """The radiograph as the file has it: the grid that every output is written on."""
        if not self.turn:
            return self
        return replace(self._moved(self.turn.undo, self.turn), turn=UPRIGHT)

    def _moved(self, move: Callable[[Any], Any], turn: Turn) -> "Radiograph":
        arrays = {k: freeze(move(getattr(self, k))) for k in ("pixels", "valid", "stored")}
        pairs: dict[str, Any] = {
            name: pair if pair is None else turn.pair(pair)
            for name in ("display", "physical")
            for pair in [getattr(self.spacing, name)]
        }
        return replace(self, **arrays, spacing=replace(self.spacing, **pairs))

    @property
    def full_scale(self) -> float | None:
        """Stored units per display unit, negative where polarity inverts; None if not linear."""
        return self.display.full_scale

    def rendered(self, stored: Integers) -> npt.NDArray[np.float32]:
        """Stored values, H x W, as this radiograph displays its own: 0..1; padding is 0."""
        return np.where(self.valid, self.display.render(stored), np.float32(0.0))

    def to_stored(self, change: Floats) -> Integers:
        """The stored values after a change of the picture; the exact inverse of reading.

        Linear windows: ``stored + rint(change * w / slope)``, sign by polarity. SIGMOID and LUTs:
        the difference of an inverse table. Clipped to what the stored bits can hold and kept off
        the padding value. Where ``change`` is 0 or the pixel is padding, the result *is* the
        source's stored value.

        Args:
            change: HxW float, display units (-1..1, bright = dense), finite.

        Returns:
            HxW integers of the same dtype as ``stored``.

        Raises:
            BadRequest: the shape differs from the source's or a value is not finite.
        """
        self._check_change(change)
        result = self.stored.copy()
        edited = (change != 0) & self.valid
        source = self.stored[edited].astype(np.int64)
        step = np.rint(self.display.delta(source, change[edited])).astype(np.int64)
        low, high = stored_range(self.bits_stored, self.signed)
        target = np.clip(source + step, low, high)
        result[edited] = self._off_padding(source, target).astype(result.dtype)
        return result

    def _check_change(self, change: Floats) -> None:
        if change.shape != self.stored.shape:
            raise BadRequest(
                f"The change is {change.shape}; the source is {self.stored.shape} (rows, columns).",
                code="change_shape",
                hint="Bring the change to the source's native grid first.",
            )
        if not np.isfinite(change).all():
            raise BadRequest("The change holds values that are not finite.", code="change_values")

    def _off_padding(
        self, source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Stop at the last value before the padding range, on the side the pixel came from."""
        if self.padding is None:
            return target
        lowest, highest = self.padding
        inside = (target >= lowest) & (target <= highest)
        return np.where(inside, np.where(source > highest, highest + 1, lowest - 1), target)


def pixel_digest(stored: Integers) -> str:
    """sha256 of stored pixels: little-endian, C order, the array's own width; hex."""
    little = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def freeze(array: _Array) -> _Array:
    """The array itself, made read-only: a radiograph never changes after reading."""
    array.setflags(write=False)
    return array
