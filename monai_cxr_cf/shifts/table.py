# SPDX-License-Identifier: Apache-2.0
"""The table of shifts: name, kind, words and function of each; ``shifted`` applies one by name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.shifts import acquisition, marks

Array = NDArray[np.float32]
MARK, ACQUISITION = "mark", "acquisition"


@dataclass(frozen=True)
class Shift:
    """One way in which the same patient may look otherwise."""

    name: str
    kind: str  # mark or acquisition
    words: str  # as a sentence has it: "a side letter L"
    apply: Callable[[Array, float], Array]


SHIFTS = {
    shift.name: shift
    for shift in (
        Shift("letter_left", MARK, "a side letter L", marks.letter_left),
        Shift("letter_right", MARK, "a side letter R", marks.letter_right),
        Shift("text_box", MARK, "the word PORTABLE at the lower edge", marks.text_box),
        Shift("border", MARK, "a white border", marks.border),
        Shift("collimation", MARK, "black shutters", marks.collimation),
        Shift("device", MARK, "a drawn pacemaker", marks.device),
        Shift("drain", MARK, "a drawn chest drain", marks.drain),
        Shift("marks_erased", MARK, "marks at the edge taken away", marks.erased),
        Shift("darker", ACQUISITION, "a darker exposure", acquisition.darker),
        Shift("brighter", ACQUISITION, "a brighter exposure", acquisition.brighter),
        Shift("flatter", ACQUISITION, "less contrast", acquisition.flatter),
        Shift("polarity", ACQUISITION, "black and white exchanged", acquisition.polarity),
        Shift("rotated", ACQUISITION, "a turn by six degrees", acquisition.rotated),
        Shift("cropped", ACQUISITION, "a tighter crop", acquisition.cropped),
        Shift("coarser", ACQUISITION, "a quarter of the resolution", acquisition.coarser),
        Shift("jpeg", ACQUISITION, "strong JPEG compression", acquisition.jpeg),
        Shift("noisy", ACQUISITION, "more grain", acquisition.noisy),
    )
}


def shift_named(name: str) -> Shift:
    """A shift; BadRequest for an unknown name."""
    if name not in SHIFTS:
        raise BadRequest(f"Unknown shift '{name}'.", hint=f"Known: {', '.join(SHIFTS)}.")
    return SHIFTS[name]


def shifted(image: Array, name: str, amount: float = 1.0) -> Array:
    """One image with one shift.

    Args:
        image: H x W float32, 0..1, bright = dense, the patient's left on the right.
        name: of the table.
        amount: 0 nothing, 1 all of it.

    Raises:
        BadRequest: another name, an amount out of range, or no H x W image.
    """
    shift = shift_named(name)
    if not 0 <= amount <= 1:
        raise BadRequest(f"The amount is {amount:g}; expected 0 to 1.")
    if image.ndim != 2 or min(image.shape) < 16:
        raise BadRequest(f"The image is {image.shape}; expected H x W from 16 x 16.")
    if amount == 0:
        return image.astype(np.float32, copy=True)
    return shift.apply(image.astype(np.float32, copy=False), amount)
