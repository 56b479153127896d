# SPDX-License-Identifier: Apache-2.0
"""An image file of a collection in, grey fractions out: 8 bits, 10 to 16 bits, or DICOM.

A 16-bit file often holds fewer bits. How many is what its PNG says (sBIT), else the fewest of 10,
12, 14 and 16 that hold a sample of the collection: the same for all its files, so that a dim one
stays dim.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import CxrError, UnreadableInput

DEPTHS = (10, 12, 14, 16)
SAMPLE = 16  # files that decide a collection's depth
ENDINGS = (".jpg", ".jpeg", ".png", ".dcm")
_SIGNATURE, _SBIT = b"\x89PNG\r\n\x1a\n", b"sBIT"


def read_grey(folder: Path, image: str, bits: int = 0) -> NDArray[np.float32]:
    """HxW float32, 0..1, bright = dense; ``bits``: what a 16-bit file holds, 0 if not known.

    Raises:
        UnreadableInput: no such image, damaged, in colour with an alpha layer or of floats, or
            with values beyond ``bits``. The message names its place below ``folder``.
    """
    path = Path(folder) / image
    if path.suffix.lower() == ".dcm":
        return _dicom(path)
    try:
        pixels, deep = _pixels(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableInput(
            f"An image cannot be read: {image}.", hint="Copy it again, or take it out."
        ) from error
    if not deep:
        return np.asarray(pixels / 255, np.float32)
    bits = significant_bits(path) or bits or fewest_bits(int(pixels.max(initial=0)))
    if int(pixels.max(initial=0)) >= 2**bits:
        raise UnreadableInput(
            f"{image} holds values beyond the {bits} bits of the other images.",
            hint="Keep images of one depth in a collection.",
        )
    return np.asarray(pixels / (2**bits - 1), np.float32)


def depth(folder: Path, images: Iterable[str]) -> int:
    """Bits of a collection's 16-bit files, told by a sample of them; 0 if the sample has none."""
    every = list(images)
    found = 0
    for image in every[:: max(1, len(every) // SAMPLE)][:SAMPLE]:
        path = Path(folder) / image
        if path.suffix.lower() == ".dcm" or not path.is_file():
            continue
        try:
            found = max(found, _deepest(path))
        except (OSError, ValueError, SyntaxError):
            continue  # named when it is read
    return found


def fewest_bits(highest: int) -> int:
    """The fewest of 10, 12, 14 and 16 bits that hold this value."""
    return next(bits for bits in DEPTHS if highest < 2**bits or bits == DEPTHS[-1])


def significant_bits(path: Path) -> int:
    """What the sBIT chunk of a grey PNG says; 0 without one."""
    with path.open("rb") as stream:
        if stream.read(8) != _SIGNATURE:
            return 0
        while len(head := stream.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            length = int.from_bytes(head[:4], "big")
            if head[4:] == _SBIT and length:
                return stream.read(1)[0]
            stream.seek(length + 4, 1)
    return 0


def _deepest(path: Path) -> int:
    from PIL import Image

    with Image.open(path) as image:
        if not image.mode.startswith("I"):
            return 0
    pixels, _ = _pixels(path)
    return significant_bits(path) or fewest_bits(int(pixels.max(initial=0)))


def _pixels(path: Path) -> tuple[NDArray[Any], bool]:
    """HxW integers, and whether they have more than 8 bits; ValueError for another kind."""
    from PIL import Image

    with Image.open(path) as image:
        if image.mode == "F" or getattr(image, "n_frames", 1) > 1:
            raise ValueError("floats or several frames")
        deep = image.mode.startswith("I")
        pixels = np.asarray(image if deep else image.convert("L"))
    if pixels.ndim != 2 or not pixels.size or pixels.min() < 0:
        raise ValueError("no grey picture")
    return pixels, deep


def _dicom(path: Path) -> NDArray[np.float32]:
    """Through the product's own strict reader; its refusals name no patient."""
    from monai_cxr_cf.dicom.reading.read import read_source

    try:
        return np.asarray(read_source(str(path)).pixels, np.float32)
    except CxrError as error:
        raise UnreadableInput(
            f"{'/'.join(path.parts[-4:])} is refused: {error.message}", hint=error.hint
        ) from error
