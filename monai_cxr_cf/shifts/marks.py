# SPDX-License-Identifier: Apache-2.0
"""Marks on a radiograph: letters, text, frames, shutters, drawn devices; and taking marks away.

Images are H x W float32, 0..1, bright = dense, the patient's left on the right. Sizes are shares of
the shorter side, so a mark looks the same at any resolution. Letters are drawn from bitmaps: no
font, the same pixels everywhere.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Array = NDArray[np.float32]
WHITE = 0.95
LETTER, BORDER, SHUTTER = 0.07, 0.025, 0.09  # height of a letter, widths, of the shorter side
OUTER = 0.18  # marks are taken away in this outer part only
LONGEST, STANDS_OUT = 0.04, 0.2  # strokes as thin and as bright as this are marks
GLYPHS = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "T": "11111 00100 00100 00100 00100 00100 00100",
}


def write(image: Array, text: str, at: tuple[float, float], amount: float = 1.0) -> Array:
    """``text`` (letters of GLYPHS) with its upper left corner at ``at``: shares of rows, columns.

    ``amount`` is how opaque it is, 0..1.
    """
    rows = [[int(bit) for bit in "".join(parts)] for parts in _lines(text)]
    cell = max(1, round(LETTER * min(image.shape) / len(rows)))
    mark = np.kron(np.array(rows, bool), np.ones((cell, cell), bool))
    top, left = (round(share * size) for share, size in zip(at, image.shape, strict=True))
    mark = mark[: image.shape[0] - top, : image.shape[1] - left]
    area = np.zeros(image.shape, bool)
    area[top : top + mark.shape[0], left : left + mark.shape[1]] = mark
    return painted(image, area, amount)


def _lines(text: str) -> list[list[str]]:
    """Seven rows of bits; a letter is followed by an empty column."""
    glyphs = [GLYPHS[letter].split() for letter in text]
    return [[glyph[row] + "0" for glyph in glyphs] for row in range(7)]


def painted(image: Array, area: NDArray[np.bool_], amount: float, value: float = WHITE) -> Array:
    """The image with ``value`` in ``area``, as opaque as ``amount``; nothing else changes."""
    out = image.copy()
    out[area] = np.float32(1 - amount) * out[area] + np.float32(amount) * np.float32(value)
    return out


def letter_left(image: Array, amount: float) -> Array:
    """A white L in the upper corner at the patient's left."""
    return write(image, "L", (0.08, 0.84), amount)


def letter_right(image: Array, amount: float) -> Array:
    """A white R in the upper corner at the patient's right."""
    return write(image, "R", (0.08, 0.08), amount)


def text_box(image: Array, amount: float) -> Array:
    """PORTABLE at the lower edge."""
    return write(image, "PORTABLE", (0.88, 0.06), amount)


def _frame(image: Array, share: float) -> NDArray[np.bool_]:
    width = max(1, round(share * min(image.shape)))
    area = np.ones(image.shape, bool)
    area[width:-width, width:-width] = False
    return area


def border(image: Array, amount: float) -> Array:
    """A white frame on the outermost pixels."""
    return painted(image, _frame(image, BORDER), amount)


def collimation(image: Array, amount: float) -> Array:
    """Black shutters on all sides."""
    return painted(image, _frame(image, SHUTTER), amount, 0.0)


def device(image: Array, amount: float) -> Array:
    """A drawn pacemaker: a capsule below the patient's left shoulder, and a lead to the heart."""
    capsule = [(0.72, 0.17), (0.84, 0.26)]
    lead = [(0.74, 0.24), (0.62, 0.22), (0.53, 0.36), (0.55, 0.62), (0.6, 0.66)]
    return painted(image, _drawn(image, lead, capsule), amount)


def drain(image: Array, amount: float) -> Array:
    """A drawn chest drain: a line from the patient's right flank up into the lung."""
    line = [(0.03, 0.72), (0.15, 0.66), (0.24, 0.52), (0.3, 0.34)]
    return painted(image, _drawn(image, line, None), amount)


def _drawn(
    image: Array, line: list[tuple[float, float]], capsule: list[tuple[float, float]] | None
) -> NDArray[np.bool_]:
    """A line, and a capsule, in shares of columns and rows."""
    rows, columns = image.shape
    picture = Image.new("L", (columns, rows))
    pen = ImageDraw.Draw(picture)
    width = max(1, round(0.012 * min(rows, columns)))
    pen.line([(x * columns, y * rows) for x, y in line], fill=1, width=width, joint="curve")
    if capsule is not None:
        box = [v for x, y in capsule for v in (x * columns, y * rows)]
        pen.rounded_rectangle(box, radius=0.04 * min(rows, columns), fill=1)
    return np.asarray(picture, bool)


def erased(image: Array, amount: float) -> Array:
    """Without what looks like a mark in the outer part: thin, bright strokes, levelled off."""
    size = max(3, round(LONGEST * min(image.shape)))
    level = ndimage.grey_opening(image, size=(size, size))
    found = _frame(image, OUTER) & (image - level > STANDS_OUT)
    near = ndimage.binary_dilation(found, iterations=max(1, size // 8)) & _frame(image, OUTER)
    out = image.copy()
    out[near] += np.float32(amount) * (level - image)[near]
    return out
