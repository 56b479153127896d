# SPDX-License-Identifier: Apache-2.0
"""The icon of the Slicer extension and of its module: a chest whose one lung carries a change.

    python benchmarks/make_slicer_icon.py

Left of the line the source, right of it the counterfactual; amber is the colour of what is
synthetic, in the panel too. Reuses the outlines of ``make_slicer_sample.py``.
"""

from pathlib import Path

import numpy as np
from make_slicer_sample import HEART, LEFT_LUNG, RIGHT_LUNG, Points, _smooth
from PIL import Image, ImageDraw, ImageFilter

TARGETS = (
    Path("slicer_extension/CXRCounterfactual.png"),
    Path("slicer_extension/CXRCounterfactual/Resources/Icons/CXRCounterfactual.png"),
)
SIDE, FINE = 128, 8  # pixels; drawn so many times larger, then reduced
NIGHT, GLASS, BONE, AMBER = (16, 27, 44), (31, 49, 74), (203, 219, 236), (245, 182, 45)


def draw_icon() -> Image.Image:
    """128x128 RGBA with clear corners."""
    size = SIDE * FINE
    icon = Image.new("RGBA", (size, size))
    pen = ImageDraw.Draw(icon)
    pen.rounded_rectangle((0, 0, size - 1, size - 1), radius=size * 0.19, fill=NIGHT)
    heart = _shape(HEART, size)
    icon.paste(GLASS, mask=heart)
    for lung in (RIGHT_LUNG, LEFT_LUNG):
        icon.paste(BONE, mask=_less(_shape(lung, size), heart))
    changed = _less(_shape(LEFT_LUNG, size), heart)
    below = Image.new("L", (size, size))
    tide = [(0.5, 0.66), (0.62, 0.66), (0.76, 0.60), (0.90, 0.47), (1.0, 0.47), (1, 1), (0.5, 1)]
    ImageDraw.Draw(below).polygon([_place(point, size) for point in tide], fill=255)
    icon.paste(AMBER, mask=Image.fromarray(np.minimum(np.asarray(changed), np.asarray(below))))
    line = round(size * 0.012)
    middle = size // 2
    pen.line((middle, size * 0.10, middle, size * 0.90), fill=(255, 255, 255), width=line)
    grip = size * 0.055
    pen.ellipse((middle - grip, middle - grip, middle + grip, middle + grip), fill=(255, 255, 255))
    for sign in (-1, 1):
        tip, back = middle + sign * grip * 0.62, middle + sign * grip * 0.18
        high, low = middle - grip * 0.38, middle + grip * 0.38
        pen.polygon([(tip, middle), (back, high), (back, low)], fill=NIGHT)
    return icon.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _place(point: tuple[float, float], size: int) -> tuple[float, float]:
    """From the sample's chest to the icon: centred, and larger."""
    u, v = point
    return (0.5 + (u - 0.5) * 1.06) * size, (0.5 + (v - 0.465) * 1.04) * size


def _shape(points: Points, size: int) -> Image.Image:
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).polygon([_place(point, size) for point in _smooth(points)], fill=255)
    return mask


def _less(mask: Image.Image, hole: Image.Image) -> Image.Image:
    """A mask without another one and a gap around that."""
    wide = hole.filter(ImageFilter.MaxFilter(2 * FINE + 1))
    return Image.fromarray(np.where(np.asarray(wide) > 0, 0, np.asarray(mask)).astype(np.uint8))


def main() -> None:
    """Write both copies."""
    for target in TARGETS:
        draw_icon().save(target, optimize=True)


if __name__ == "__main__":
    main()
