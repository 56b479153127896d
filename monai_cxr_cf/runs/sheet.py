# SPDX-License-Identifier: Apache-2.0
"""The pictures of a series in, one contact sheet out: ``sheet.png``.

Seeds are rows and levels columns; where there is one seed or one level, the pictures run on line by
line. Below stand the source with its region, the mean change and how often each pixel changed, over
all pictures of the series, as ``masks.npz`` holds them.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from monai_cxr_cf.dicom.png_origin import COMPOSITE
from monai_cxr_cf.runs.pictures import BAND, NOTICE, REGION, drawing, fewer, save_figure

Image = NDArray[np.float32]
WIDE = 10.0  # inches of the sheet
LINE = 8  # pictures in a line that may be broken
CELLS, MAPS = 2400, 800  # pixels: all columns together; the longer side of a map
GAP = 0.02  # of a picture's width, between two pictures
GREY = 255.0  # display units to grey levels
SMALLEST = 4.0  # grey levels: a colour scale zooms in no further
LABEL = 46  # characters of a line on a picture
WORDS = 0.17  # inches of a line of text


@dataclass(frozen=True, eq=False)
class Series:
    """What the sheet shows; arrays H x W on one grid, rows down, columns right."""

    source: Image  # 0..1, bright = dense
    region: NDArray[np.bool_]
    changes: Sequence[Image]  # of every picture, seeds and levels within each, display units
    labels: Sequence[str]  # one a picture
    levels: int  # pictures a seed
    tau: float  # display units: a pixel that moved further counts as changed
    caption: Sequence[str] = ()


def sheet(series: Series, path: Path) -> None:
    """Write the contact sheet."""
    rows, columns = layout(len(series.changes), series.levels)
    tall = series.source.shape[0] / series.source.shape[1]
    grid = WIDE * rows * (tall + GAP) / (columns * (1 + GAP))
    words = [line for text in series.caption for line in textwrap.wrap(text, 150)]
    below = WORDS * (len(words) + 1) + 0.1
    maps = 2.6 * tall
    total = grid + maps + below + 0.5
    with drawing():
        figure = Figure((WIDE + 0.2, total), dpi=180)
        box = (0.1 / (WIDE + 0.2), (total - grid - 0.1) / total, WIDE / (WIDE + 0.2), grid / total)
        _cells(figure.add_axes(box), series, rows, columns)
        for number, draw in enumerate((_source, _mean, _share)):
            left = (0.1 + number * 3.4) / (WIDE + 0.2)
            place = (left, below / total, 2.6 / (WIDE + 0.2), maps / total)
            draw(figure, figure.add_axes(place), series)
        for number, text in enumerate((*words, NOTICE)):
            last = number == len(words)
            y = (WORDS * (len(words) - number) + 0.08) / total
            weight, colour = ("bold", "#b03a2e") if last else ("normal", "black")
            figure.text(0.01, y, text, fontsize=7.5, weight=weight, color=colour)
        save_figure(figure, path, kind=COMPOSITE)


def layout(pictures: int, levels: int) -> tuple[int, int]:
    """Rows and columns of the grid."""
    if 1 < levels < pictures:
        return pictures // levels, levels
    columns = min(pictures, LINE)
    return -(-pictures // columns), columns


def mosaic(series: Series, columns: int) -> tuple[Image, list[tuple[int, int]], int]:
    """Every picture in its cell on white, the top left corner of each, and a cell's width."""
    step = _step(series.source, CELLS // columns)
    cells = [fewer(np.clip(series.source + c, 0, 1), step) for c in series.changes]
    (height, width), rows = cells[0].shape, -(-len(cells) // columns)
    gap = max(1, round(GAP * width))
    corners = [
        (number // columns * (height + gap), number % columns * (width + gap))
        for number in range(len(cells))
    ]
    page = np.ones((rows * (height + gap), columns * (width + gap)), np.float32)
    for (y, x), cell in zip(corners, cells, strict=True):
        page[y : y + height, x : x + width] = cell
    return page, corners, width


def _cells(axes: Axes, series: Series, rows: int, columns: int) -> None:
    page, corners, width = mosaic(series, columns)
    axes.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="antialiased", aspect="auto")
    axes.set_axis_off()
    points = 72 * WIDE / columns  # a cell's width
    for (y, x), label in zip(corners, series.labels, strict=True):
        text = "\n".join(["SYNTHETIC", *textwrap.wrap(label, LABEL)])
        size = min(7.0, points / (0.62 * max(map(len, text.split("\n")))))
        box = {"facecolor": "black", "alpha": 0.55, "pad": 1.0, "edgecolor": "none"}
        axes.text(x + 0.015 * width, y + 0.015 * width, text, va="top", color=BAND, fontsize=size,
                  bbox=box)  # fmt: skip


def _source(figure: Figure, axes: Axes, series: Series) -> None:
    step = _step(series.source, MAPS)
    axes.imshow(fewer(series.source, step), cmap="gray", vmin=0, vmax=1)
    region = fewer(series.region.astype(np.float32), step)
    if region.min() < 0.5 < region.max():
        axes.contour(region, [0.5], colors=[REGION], linewidths=1.0)
    _title(axes, "source and region")


def _mean(figure: Figure, axes: Axes, series: Series) -> None:
    found = mean_change(series) * GREY
    limit = max(float(np.percentile(np.abs(found), 99.5)), SMALLEST)
    drawn = axes.imshow(found, cmap="RdBu_r", vmin=-limit, vmax=limit)
    _title(axes, f"mean change of {len(series.changes)}")
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02, extend="both")
    bar.ax.tick_params(labelsize=6.5)
    bar.set_label("grey levels of 255 (red: denser)", fontsize=6.5)


def _share(figure: Figure, axes: Axes, series: Series) -> None:
    drawn = axes.imshow(changed(series), cmap="magma", vmin=0, vmax=1)
    _title(axes, f"P(changed by more than {series.tau * GREY:.0f} of 255)")
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02)
    bar.ax.tick_params(labelsize=6.5)
    bar.set_label(f"share of {len(series.changes)} pictures", fontsize=6.5)


def mean_change(series: Series) -> Image:
    """The mean change over all pictures, display units, on the grid of the maps."""
    step = _step(series.source, MAPS)
    found = np.mean([fewer(change, step) for change in series.changes], axis=0, dtype=np.float64)
    return np.asarray(found, np.float32)


def changed(series: Series) -> Image:
    """The share of pictures in which a pixel changed by more than tau, 0..1, on that grid."""
    step = _step(series.source, MAPS)
    moved = (np.abs(change) > series.tau for change in series.changes)
    found = np.mean([fewer(one.astype(np.float32), step) for one in moved], axis=0, dtype=float)
    return np.asarray(found, np.float32)


def _step(image: Image, side: int) -> int:
    longest: int = max(image.shape)
    return max(1, -(-longest // max(side, 1)))


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, pad=4)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
