# SPDX-License-Identifier: Apache-2.0
"""The shifts of ``shifts.table`` as MONAI dictionary transforms: one by name, or one by chance.

They take C x H x W images in 0..1 (tensor, MetaTensor or array), rows down, bright = dense, and
need nothing else of the package: no weights, no request.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms.transform import MapTransform, RandomizableTransform
from monai.utils.type_conversion import convert_to_dst_type

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.shifts.table import SHIFTS, shift_named, shifted


def _moved(image: Any, name: str, amount: float) -> Any:
    array = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    if array.ndim != 3:
        raise BadRequest(f"The image is {array.shape}; expected C x H x W.")
    planes = [shifted(plane.astype(np.float32), name, amount) for plane in array]
    return convert_to_dst_type(np.stack(planes), image)[0]


class ShiftRadiographd(MapTransform):
    """One shift, always: ``ShiftRadiographd("image", "letter_left")``.

    Args:
        keys: of the images.
        shift: a name in ``shifts.table``.
        amount: 0 nothing, 1 all of it.
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self, keys: KeysCollection, shift: str, amount: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(keys, allow_missing_keys)
        self.shift, self.amount = shift_named(shift).name, amount

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its images shifted."""
        found = dict(data)
        for key in self.key_iterator(found):
            found[key] = _moved(found[key], self.shift, self.amount)
        return found


class RandShiftRadiographd(RandomizableTransform, MapTransform):
    """One of several shifts by chance, the same for all keys.

    Args:
        keys: of the images.
        shifts: names to choose from; empty: all but the exchange of black and white.
        prob: how often.
        amounts: lowest and highest amount.
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self, keys: KeysCollection, shifts: Sequence[str] = (), prob: float = 0.5,
        amounts: tuple[float, float] = (0.3, 1.0), allow_missing_keys: bool = False,
    ) -> None:  # fmt: skip
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        usual = [name for name in SHIFTS if name != "polarity"]
        self.shifts = [shift_named(name).name for name in shifts] or usual
        self.amounts = amounts

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item, its images shifted or as they were."""
        found = dict(data)
        self.randomize(None)
        if self._do_transform:
            name = self.shifts[int(self.R.randint(len(self.shifts)))]
            amount = float(self.R.uniform(*self.amounts))
            for key in self.key_iterator(found):
                found[key] = _moved(found[key], name, amount)
        return found
