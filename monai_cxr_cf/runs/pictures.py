# SPDX-License-Identifier: Apache-2.0
"""Arrays in, PNG pictures out: the preview, overlays and plain greys; ``trace_picture`` draws on.

The last step of a run; also what ``cxr-cf read`` and ``segment`` draw. The same input gives the
same bytes: own settings whatever matplotlibrc says, no date and no version in the file.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image as Pillow

from monai_cxr_cf.dicom.png_origin import COMPOSITE, png_info

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

NOTICE = "SYNTHETIC - research only"
REGION, BAND, QUIET = "#f28e2b", "#ffd27f", "#666666"
ORGANS = {"right_lung": "#4e9bd8", "left_lung": "#7cc4f0", "heart": "#e15759"}
LINES = ("#4e79a7", "#e15759", "#59a14f", "#b07aa1", "#f28e2b", "#76b7b2")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "savefig.facecolor": "white",
}
PANEL = 3.1  # inches a panel of the preview is wide
MOST = 1200  # pixels of the longer side that a picture is drawn from: more would not show
PACKED = 4  # zlib level of a figure: half the time of 6, an eighth more bytes
GREY = 255.0  # display units to grey levels
SMALLEST = 4 / 255  # a colour scale never zooms in further: rounding must not look like change


@dataclass(frozen=True, eq=False)
class PreviewData:
    """What the preview shows; all arrays H x W on one grid, rows down, columns right."""

    source: Image  # 0..1, bright = dense
    region: Mask  # edit region
    band: Mask  # edit band, without the region
    change: Image  # counterfactual - source, display units -1..1
    caption: tuple[str, ...] = ()  # lines below the panels; NOTICE is always added
    organs: Mapping[str, Mask] = field(default_factory=dict)  # drawn as thin outlines

    @property
    def edited(self) -> Image:
        """The counterfactual, 0..1."""
        return np.asarray(np.clip(self.source + self.change, 0, 1), np.float32)


def preview(data: PreviewData, path: Path) -> None:
    """Write source | region on source | counterfactual | signed change, with the caption below."""
    data = _for_screen(data)
    rows, columns = data.source.shape
    height = PANEL * min(max(rows / columns, 0.6), 1.6)
    words = [line for text in data.caption for line in textwrap.wrap(text, 165)]
    below = 0.17 * (len(words) + 1) + 0.16
    with drawing():
        figure = Figure((4 * PANEL + 0.95, height + below + 0.3), dpi=180)
        total_w, total_h = figure.get_size_inches()
        axes = []
        for number in range(4):
            left = (0.06 + number * (PANEL + 0.06)) / total_w
            axes.append(figure.add_axes((left, below / total_h, PANEL / total_w, height / total_h)))
        _grey(axes[0], data.source, "source")
        _grey(axes[1], data.source, "region on source")
        _masks(axes[1], data)
        _grey(axes[2], data.edited, "counterfactual")
        _stamp(axes[2])
        drawn = _change(axes[3], data)
        left = (0.06 + 4 * (PANEL + 0.06)) / total_w
        bar = figure.add_axes(
            (left, (below + 0.1 * height) / total_h, 0.09 / total_w, 0.8 * height / total_h)
        )
        _colour_bar(figure, drawn, bar)
        _caption(figure, words, height=total_h)
        save_figure(figure, path, kind=COMPOSITE)


def _for_screen(data: PreviewData) -> PreviewData:
    """The same picture in fewer pixels, where there are many more than a panel shows."""
    if (step := -(-max(data.source.shape) // MOST)) == 1:
        return data
    region, band = _fewer_of(data.region, step), _fewer_of(data.band, step)
    organs = {name: _fewer_of(mask, step) for name, mask in data.organs.items()}
    source, change = fewer(data.source, step), fewer(data.change, step)
    return replace(data, source=source, region=region, band=band, change=change, organs=organs)


def fewer(image: Image, step: int) -> Image:
    """Means of step x step pixels."""
    return np.asarray(Pillow.fromarray(image).reduce(step))


def _fewer_of(mask: Mask, step: int) -> Mask:
    return fewer(mask.astype(np.float32), step) >= 0.5


def _grey(axes: Axes, image: Image, title: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    _frame(axes, title)


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, pad=4)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _masks(axes: Axes, data: PreviewData) -> None:
    for name, mask in data.organs.items():
        _outline(axes, mask, ORGANS.get(name, LINES[2]), width=0.7)
    _tint(axes, data.band, BAND, 0.22)
    _tint(axes, data.region, REGION, 0.30)
    _outline(axes, data.region, REGION, width=1.1)


def _outline(axes: Axes, mask: Mask, colour: str, *, width: float, style: str = "-") -> None:
    if mask.any() and not mask.all():
        down, along = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = slice(down[0], down[-1] + 1), slice(along[0], along[-1] + 1)
        shape = np.pad(mask[box], 1).astype(np.float32)  # so that outlines close at the border
        rows, columns = (np.arange(n) - 1 + s.start for n, s in zip(shape.shape, box, strict=True))
        axes.contour(
            columns, rows, shape, [0.5], colors=[colour], linewidths=width, linestyles=style
        )
        axes.set_xlim(-0.5, mask.shape[1] - 0.5)
        axes.set_ylim(mask.shape[0] - 0.5, -0.5)


def _tint(axes: Axes, mask: Mask, colour: str, alpha: float) -> None:
    layer = np.zeros((*mask.shape, 4), np.float32)
    layer[mask] = (*matplotlib.colors.to_rgb(colour), alpha)
    axes.imshow(layer, interpolation="antialiased")


def _stamp(axes: Axes) -> None:
    box = {"facecolor": "black", "alpha": 0.55, "pad": 1.5, "edgecolor": "none"}
    place: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "bbox": box}
    axes.text(0.015, 0.985, "SYNTHETIC", color=BAND, fontsize=7, **place)


def _change(axes: Axes, data: PreviewData) -> Any:
    """Signed change in grey levels of 255, white = none, red = denser, blue = more lucent."""
    size = np.abs(data.change)[data.region | data.band]
    limit = max(float(np.percentile(size, 99.5)) if size.size else 0.0, SMALLEST) * GREY
    drawn = axes.imshow(
        data.change * GREY, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="antialiased"
    )
    for mask in data.organs.values():
        _outline(axes, mask, "#bbbbbb", width=0.5)
    _outline(axes, data.region | data.band, QUIET, width=0.7, style=":")
    _frame(axes, "signed change")
    return drawn


def _colour_bar(figure: Figure, drawn: Any, axes: Axes) -> None:
    bar = figure.colorbar(drawn, cax=axes, extend="both")
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=6.5, width=0.4, length=2)
    bar.set_label("grey levels of 255 (red: denser)", fontsize=6.5, labelpad=2)


def _caption(figure: Figure, words: Sequence[str], *, height: float) -> None:
    for number, text in enumerate((*words, NOTICE)):
        y = (0.17 * (len(words) - number) + 0.12) / height
        last = number == len(words)
        weight, colour = ("bold", "#b03a2e") if last else ("normal", "black")
        figure.text(0.006, y, text, fontsize=7.5, weight=weight, color=colour, va="baseline")


def overlay(source: Image, masks: Mapping[str, Mask], path: Path, *, title: str = "") -> None:
    """Write one picture: masks as tints and outlines on the source, named in a legend."""
    if (step := -(-max(source.shape) // MOST)) > 1:
        source = fewer(source, step)
        masks = {name: _fewer_of(mask, step) for name, mask in masks.items()}
    rows, columns = source.shape
    with drawing():
        figure = Figure((5.0, 5.0 * rows / columns + 0.55), dpi=180)
        tall = figure.get_figheight()
        axes = figure.add_axes((0.01, 0.30 / tall, 0.98, 5.0 * rows / columns / tall))
        _grey(axes, source, title)
        for number, (name, mask) in enumerate(masks.items()):
            colour = ORGANS.get(name, LINES[(number + 2) % len(LINES)])
            _tint(axes, mask, colour, 0.22)
            _outline(axes, mask, colour, width=1.0)
            axes.plot([], [], color=colour, label=name.replace("_", " "))
        if masks:
            figure.legend(loc="lower center", ncols=5, fontsize=7.5)
        save_figure(figure, path)


def grey_png(image: Image, path: Path) -> None:
    """Write H x W values 0..1 as an 8-bit grey PNG of the same size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.rint(np.clip(image, 0, 1) * GREY).astype(np.uint8)).save(path, "PNG")


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib's own defaults plus ours, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def save_figure(figure: Figure, path: Path, *, crop: bool = False, kind: str = "") -> None:
    """Write a figure as PNG without date and version, and let it go."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    told: dict[str, Any] = {"pnginfo": png_info(kind), "compress_level": PACKED}
    figure.savefig(path, format="png", bbox_inches="tight" if crop else None, pil_kwargs=told)
    figure.clear()  # its parts know each other: they would wait for the collector
