# SPDX-License-Identifier: Apache-2.0
"""How else the same chest may have been taken or stored: exposure, contrast, geometry, compression.

Images are H x W float32, 0..1, bright = dense; so are the results, of the same size. ``amount`` 0
is the image itself.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Array = NDArray[np.float32]
GAMMA, CONTRAST, DEGREES, CROP, COARSER, NOISE = 0.5, 0.35, 6.0, 0.05, 4.0, 0.03
QUALITY = (95, 20)  # of JPEG at the least and at the full amount
SEED = 20_260_000  # of the noise: the same in every image of one size


def _clip(image: NDArray[np.floating]) -> Array:
    return np.asarray(np.clip(image, 0, 1), np.float32)


def darker(image: Array, amount: float) -> Array:
    """More exposure: gamma 1.5."""
    return _clip(image ** np.float32(1 + GAMMA * amount))


def brighter(image: Array, amount: float) -> Array:
    """Less exposure: gamma 1/1.5."""
    return _clip(image ** np.float32(1 / (1 + GAMMA * amount)))


def flatter(image: Array, amount: float) -> Array:
    """Less contrast about the mean."""
    mean = image.mean()
    return _clip(mean + (image - mean) * np.float32(1 - CONTRAST * amount))


def polarity(image: Array, amount: float) -> Array:
    """Black and white exchanged."""
    return _clip(image + np.float32(amount) * (1 - 2 * image))


def rotated(image: Array, amount: float) -> Array:
    """Turned by six degrees about the middle, the corners filled with the nearest pixels."""
    if amount == 0:
        return image.copy()
    angle = DEGREES * amount
    return _clip(ndimage.rotate(image, angle, reshape=False, order=1, mode="nearest"))


def cropped(image: Array, amount: float) -> Array:
    """The middle nine tenths, brought back to size."""
    top, left = (round(CROP * amount * size) for size in image.shape)
    inner = image[top : image.shape[0] - top, left : image.shape[1] - left]
    return _resized(inner, image.shape) if top or left else image.copy()


def coarser(image: Array, amount: float) -> Array:
    """A quarter of the resolution, brought back to size."""
    factor = 1 + (COARSER - 1) * amount
    small = (max(1, round(image.shape[0] / factor)), max(1, round(image.shape[1] / factor)))
    return image.copy() if amount == 0 else _resized(_resized(image, small), image.shape)


def jpeg(image: Array, amount: float) -> Array:
    """Through JPEG of quality 20."""
    if amount == 0:
        return image.copy()
    best, worst = QUALITY
    stream = io.BytesIO()
    grey = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(grey).save(stream, "JPEG", quality=round(best + (worst - best) * amount))
    return np.asarray(Image.open(stream), np.float32) / np.float32(255)


def noisy(image: Array, amount: float) -> Array:
    """Grain of three hundredths of the range."""
    grain = np.random.default_rng(SEED).standard_normal(image.shape, np.float32)
    return _clip(image + np.float32(NOISE * amount) * grain)


def _resized(image: Array, shape: tuple[int, ...]) -> Array:
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    size = (shape[1], shape[0])
    return _clip(np.asarray(picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=None)))
