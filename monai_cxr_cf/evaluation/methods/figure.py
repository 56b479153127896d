# SPDX-License-Identifier: Apache-2.0
"""Rows and their strips in, two pictures out: cases by methods, and effect against leak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.evaluation.edits.pictures import GAP
from monai_cxr_cf.runs.pictures import LINES, STYLE

Row = Mapping[str, Any]
TILE, LABEL, MOST = 150, 34, 8  # px of a picture, of the words over a column; most cases
PANELS = {"source": 0, "edit": 2, "change": 3}  # of a strip


def draw_cases(rows: Sequence[Row], names: Sequence[str], pictures: Path, out: Path) -> Path | None:
    """Rows are cases, columns methods; under each picture its change, red denser, blue lucent.

    A case is the first edit of a cell that ours made: chosen by order, never by its looks. Returns
    None where no picture is left.
    """
    cases: dict[str, Row] = {}
    edits = [row for row in rows if row["kind"] == "edit"]
    for one in edits:
        if one.get("method", OURS) == OURS and _panel(one, pictures, "source"):
            cases.setdefault(one["group"], one)
    chosen = list(cases.values())[:MOST]
    if not chosen:
        return None
    columns = ["source", *names]
    page = Image.new(
        "RGB", (len(columns) * (TILE + GAP), len(chosen) * (2 * TILE + LABEL)), "white"
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for number, case in enumerate(chosen):
        top = number * (2 * TILE + LABEL)
        draw.text((2, top), str(case["prompt"]), "black", font=font)
        for at, name in enumerate(columns):
            left = at * (TILE + GAP)
            draw.text((left + 2, top + LABEL // 2), name, "black", font=font)
            row: Row | None = case if name == "source" else _of(edits, case, name)
            for place, panel in enumerate(("source",) if name == "source" else ("edit", "change")):
                tile = None if row is None else _panel(row, pictures, panel)
                if tile is not None:
                    page.paste(tile, (left, top + LABEL + place * TILE))
    page.save(out, quality=82)
    return out


def _of(rows: Sequence[Row], case: Row, name: str) -> Row | None:
    """The same edit by a method."""
    same = ("input", "group", "seed")
    mine = (row for row in rows if row.get("method", OURS) == name)
    return next((row for row in mine if all(row[k] == case[k] for k in same)), None)


def _panel(row: Row, pictures: Path, name: str) -> Image.Image | None:
    path = pictures / str(row.get("picture"))
    if not path.is_file():
        return None
    with Image.open(path) as strip:
        width, at = (strip.width - 3 * GAP) // 4, PANELS[name]
        tile = strip.convert("RGB").crop((at * (width + GAP), 0, at * (width + GAP) + width,
                                          strip.height))  # fmt: skip
    tile.thumbnail((TILE, TILE))
    return tile


def draw_plot(lines: Sequence[Mapping[str, Any]], out: Path) -> Path | None:
    """Effect inside against change outside, raw, with intervals; a point is a method."""
    groups = {d: [x for x in lines if x["direction"] == d] for d in ("add", "remove")}
    shown = {name: group for name, group in groups.items() if group}
    if not shown:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4 * len(shown), 5))
        FigureCanvasAgg(figure)
        for axis, (name, group) in zip(
            figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True
        ):
            for number, line in enumerate(group):
                x, y = (line["figures"][k] for k in ("beyond", "mean_shift_region"))
                if x[0] is None or y[0] is None:
                    continue
                colour = LINES[number % len(LINES)]
                axis.errorbar(x[0], y[0], xerr=_arms(x), yerr=_arms(y), fmt="o", color=colour,
                              markersize=4, elinewidth=0.6)  # fmt: skip
                axis.annotate(line["method"], (x[0], y[0]), xytext=(4, 4), color=colour,
                              textcoords="offset points", fontsize=7)  # fmt: skip
            axis.set_title("additions" if name == "add" else "removals")
            axis.set_xlabel("change outside before the composite, grey levels of 255")
            axis.set_ylabel("mean change inside the region, grey levels of 255")
        figure.tight_layout()
        figure.savefig(out, dpi=110, metadata={"Software": None})
    return out


def _arms(figure: Sequence[float]) -> list[list[float]]:
    value, low, high = figure
    return [[max(value - low, 0)], [max(high - value, 0)]]
