# SPDX-License-Identifier: Apache-2.0
"""One edit of one radiograph beside its sham: what is scored, and the only thing that is.

Arrays are H x W float32, 0..1, bright = dense, on the radiograph's own pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """A radiograph of the folder."""

    id: str
    patient: str
    pixels: Array
    group: Mapping[str, str] = field(default_factory=dict)  # view, sex, age, site
    truth: Mapping[str, bool] = field(default_factory=dict)  # finding -> is it there


@dataclass(frozen=True)
class Asked:
    """A finding that was put in or taken away."""

    finding: str
    side: str | None = None
    direction: str = "add"

    @property
    def name(self) -> str:
        """Such as "pleural effusion, left"."""
        side = f", {self.side}" if self.side else ""
        return f"{'no ' * (self.direction == 'remove')}{self.finding}{side}"


@dataclass(frozen=True, eq=False)
class Trial:
    """An edit at several levels, its sham at the same ones, and what the verdict said."""

    picture: Picture
    asked: Asked
    levels: tuple[float, ...]  # ascending; the last is the whole edit
    edited: Sequence[Array]  # a picture a level
    sham: Sequence[Array]
    organs: Organs
    verdict: str = "passed"
    proven: bool = False  # an independent judge saw every finding change as asked
    why: tuple[str, ...] = ()  # checks that failed

    @property
    def change(self) -> Array:
        """What the whole edit added."""
        return np.asarray(self.edited[-1] - self.picture.pixels, np.float32)
