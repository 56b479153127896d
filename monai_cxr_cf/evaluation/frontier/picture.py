# SPDX-License-Identifier: Apache-2.0
"""Sections of a frontier in, its picture out: change outside against effect inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from monai_cxr_cf.evaluation.frontier.lines import ALL, NONE, Line
from monai_cxr_cf.evaluation.frontier.text import title_of
from monai_cxr_cf.runs.pictures import LINES, QUIET, STYLE

WIDTH, HEIGHT = 4.4, 4.0  # inches of one panel
DASHES = ("-", "--", ":")


def panels(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """What is drawn together: one law missing, one law alone, and other dials."""
    groups = {
        "without one law": [line for line in lines if line.lacks and line.name != NONE],
        "one law alone": [line for line in lines if line.against == NONE],
        "other settings": [line for line in lines if line.against == ALL and not line.lacks],
    }
    found = [(title, group) for title, group in groups.items() if group]
    return found or [("all laws, and none", [])]


def draw(sections: Sequence[Mapping[str, Any]], lines: Sequence[Line], path: Path) -> None:
    """One row of panels per section; a point is a setting, its number the guidance.

    A star is the guidance that preset and calibration have.
    """
    groups = panels(lines)
    with rc_context(STYLE):
        size = (WIDTH * len(groups), HEIGHT * max(len(sections), 1))
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        axes = figure.subplots(max(len(sections), 1), len(groups), squeeze=False)
        for row, section in zip(axes, sections, strict=False):
            for axis, (title, group) in zip(row, groups, strict=True):
                _panel(axis, section, [line.name for line in group])
                axis.set_title(f"{title_of(section)}\n{title}")
            row[0].set_ylabel("in: effect inside the region, grey levels")
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})


def _panel(axis: Axes, section: Mapping[str, Any], names: Sequence[str]) -> None:
    axis.set_xscale("log")
    axis.set_xlabel("out: change beyond region and band, grey levels")
    for name, colour, dash in (
        (ALL, "black", "-"),
        (NONE, QUIET, "--"),
        *((n, LINES[i % len(LINES)], DASHES[i // len(LINES) % 3]) for i, n in enumerate(names)),
    ):
        rows = [row for row in section["rows"] if row["line"] == name]
        swept = [row for row in rows if row["guidance"] is not None]
        if not rows:
            continue
        axis.plot(*_places(swept), dash, marker="o", markersize=3, color=colour, label=name)
        for row in swept:
            where = (row["out"][0], row["in"][0])
            axis.annotate(f"{row['guidance']:g}", where, xytext=(3, -7), color=colour,
                          textcoords="offset points", fontsize=6)  # fmt: skip
        usual = [row for row in rows if row["guidance"] is None]
        axis.plot(*_places(usual), "*", markersize=9, color=colour)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.legend(loc="upper left", fontsize=6)


def _places(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [row["out"][0] for row in rows], [row["in"][0] for row in rows]
