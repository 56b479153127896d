# SPDX-License-Identifier: Apache-2.0
"""A census in, its pictures out: a heat map of every figure, and attention over a radiograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.nn import functional as F

from monai_cxr_cf.anatomy.segment import Segmenter
from monai_cxr_cf.anatomy.zones import region_mask
from monai_cxr_cf.data.folder import Row, load_image
from monai_cxr_cf.dicom.png_origin import DATA
from monai_cxr_cf.diffusion.attention.census import attention_maps, cross_layers
from monai_cxr_cf.diffusion.model.layers import MID_LEVEL
from monai_cxr_cf.evaluation.attention.asked import Asked
from monai_cxr_cf.evaluation.attention.bench import Bench
from monai_cxr_cf.evaluation.attention.table import level_name, matrix
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.prompts.findings import region_terms
from monai_cxr_cf.runs.pictures import REGION, drawing, save_figure

TITLES = {"mass": "attention, % of all", "without": "effect that goes without it, %"}
Plane = NDArray[np.float32]


def draw_table(table: Sequence[Mapping[str, Any]], path: Path) -> None:
    """``census.png``: a row a finding; groups against levels and timesteps, two figures."""
    with drawing():
        figure = Figure((11.5, 2.5 * len(table) + 0.4), dpi=140, layout="constrained")
        panels = figure.subplots(len(table), 2, squeeze=False)
        for entry, line in zip(table, panels, strict=True):
            for (name, title), axes in zip(TITLES.items(), line, strict=True):
                _heat(axes, entry, name, f"{entry['finding']}: {title}")
        save_figure(figure, path, kind=DATA)


def _heat(axes: Axes, entry: Mapping[str, Any], figure: str, title: str) -> None:
    rows, columns, values = matrix(entry, figure)
    axes.imshow(values * 100, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    axes.set_title(title)
    axes.set_xticks(range(len(columns)), columns, fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    levels = len(entry["groups"][0]["by_level"])
    axes.axvline(levels - 0.5, color="white", linewidth=4)
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            colour = "white" if value > 0.6 else "black"
            axes.text(j, i, f"{value * 100:.1f}", ha="center", va="center",
                      fontsize=6.5, color=colour)  # fmt: skip


def draw_maps(bench: Bench, row: Row, segmenter: Segmenter, path: Path) -> None:
    """``attention.png``: A_k of the finding's words by level, of the end token and of padding.

    One radiograph, the first prompt of every finding, the middle one of the timesteps. Each map has
    its own scale; its share of all attention stands above.
    """
    first: dict[str, Asked] = {}
    for asked in bench.plan.asked:
        first.setdefault(asked.finding, asked)
    t = sorted(bench.plan.timesteps)[len(bench.plan.timesteps) // 2]
    image, lines = bench.model_image(row), []
    for asked in first.values():
        lines.append((asked, _maps(bench, row, asked, t), _outline(bench, row, asked, segmenter)))
    wide = max(len(maps) for _, maps, _ in lines) + 1
    with drawing():
        figure = Figure((2.1 * wide, 2.35 * len(lines) + 0.3), dpi=140, layout="constrained")
        for panels, line in zip(figure.subplots(len(lines), wide, squeeze=False), lines,
                                strict=True):  # fmt: skip
            _line(panels, image, line, t)
        save_figure(figure, path, kind=DATA)


def _line(
    panels: Sequence[Axes], image: Plane, line: tuple[Asked, dict[str, Plane], Any], t: int
) -> None:
    """One finding: the radiograph with its region, then the maps."""
    asked, maps, outline = line
    titles = [
        asked.finding,
        *(f"{name}: {100 * plane.mean():.1f} %" for name, plane in maps.items()),
    ]
    for axes, title, plane in zip(panels, titles, [None, *maps.values()], strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        if plane is not None:
            axes.imshow(plane, cmap="inferno", alpha=0.65, vmin=0, vmax=float(plane.max()) or 1.0)
        if outline is not None and outline.any():
            axes.contour(outline, [0.5], colors=[REGION], linewidths=0.8)
        axes.set_title(title, fontsize=7.5)
        axes.set(xticks=[], yticks=[])
    panels[0].set_xlabel(f'"{asked.text}", t {t}', fontsize=6)


@torch.no_grad()
def _maps(bench: Bench, row: Row, asked: Asked, t: int) -> dict[str, Plane]:
    """Name -> attention of a group's tokens, S x S, mean over heads and layers."""
    backbone, texts = bench.backbone, bench.texts(asked)
    z = bench.latent(row, t)
    layers = cross_layers(backbone.unet, z)
    with attention_maps(backbone.unet, layers) as seen:
        backbone.unet(z.to(backbone.dtype), t, encoder_hidden_states=texts.target)
    levels = sorted({layer.level for layer in layers} - {MID_LEVEL}) or [MID_LEVEL]

    def plane(group: str, *wanted: int) -> Plane:
        own = [layer for layer in layers if layer.level in wanted]
        large = []
        for layer in own:
            cells = seen[layer.name][0][:, list(texts.groups[group])].sum(-1)
            grown = F.interpolate(
                cells.view(1, 1, *layer.grid), size=(backbone.side,) * 2, mode="bilinear"
            )
            large.append(grown[0, 0])
        return np.asarray(torch.stack(large).mean(0).cpu().numpy(), np.float32)

    found = {f"its words, {level_name(str(at))}": plane("finding", at) for at in levels}
    return found | {"end token": plane("eos", *levels), "padding": plane("padding", *levels)}


def _outline(bench: Bench, row: Row, asked: Asked, segmenter: Segmenter) -> Any:
    """The findings' region on the model grid, as words place it on this radiograph."""
    image = load_image(bench.data, row)
    organs = segmenter(image).organs
    masks = [region_mask(organs, region_terms(e.finding, e.side, e.zone)) for e in asked.edits]
    grid = ModelGrid((image.shape[0], image.shape[1]), bench.backbone.side)
    return grid.mask_to_model(np.logical_or.reduce(masks))
