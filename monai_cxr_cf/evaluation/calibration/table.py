# SPDX-License-Identifier: Apache-2.0
"""What a search tried in, a Markdown table and a plot out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from monai_cxr_cf.evaluation.calibration.search import LEAK
from monai_cxr_cf.runs.pictures import LINES, QUIET, STYLE

Tried = dict[str, Any]
DIALS = ("strength", "guidance", "rms")
NAMES = {"strength": "strength", "guidance": "guidance", "rms": "RMS"}
FIGURES = {
    "sham_worth": "of shams",
    "verdict_passed": "verdict passed",
    "sham_passed": "of shams",
    "geometry_gain": "geometry, spreads",
    "j1_gain": "J1 gain",
    "organs_kept": "organs kept",
    "side_obeyed": "side obeyed",
    "faulty_texture": "odd texture",
    "foreign_grey": "foreign grey",
    "beyond": "leak",
    "seconds": "s an edit",
}


def table_text(result: dict[str, Any]) -> str:
    """One section a mode: the settings chosen, and all that was tried, the best first."""
    lines = [
        f"Backbone {result['backbone']}, preset {result['preset']}. An edit is worth 0 to 1: what",
        "geometry and J1 (where it counts) see, halved by every fault; a setting is worth what its",
        "edits are worth more than their shams. Leak: grey levels of 255 that change on average",
        f"beyond region and band, before paste and composite; above {LEAK:g} a setting loses. 95 %",
        "over patients.",
    ]
    for mode, about in result["modes"].items():
        best = about["best"]
        chosen = ", ".join(f"{NAMES[k]} {best[k]:g}" for k in DIALS if best[k])
        lines += ["", f"## {mode}: {chosen}", ""]
        lines += [f"- {name}: worth {value:.2f}" for name, value in about["by_edit"].items()]
        lines += ["", "| strength | guidance | RMS | edits | worth | "]
        lines[-1] += " | ".join(FIGURES.values()) + " |"
        lines.append("|---" * (5 + len(FIGURES)) + "|")
        lines += [_line(tried) for tried in about["tried"]]
    return "\n".join(lines)


def _line(tried: Tried) -> str:
    value, low, high = (_said(v) for v in tried["worth"])
    dials = [f"{tried[k]:g}" if tried[k] else "" for k in DIALS]
    cells = [*dials, str(tried["edits"]), f"{value} ({low} to {high})"]
    return "| " + " | ".join([*cells, *(_said(tried[name]) for name in FIGURES)]) + " |"


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Worth against strength, a panel a mode; larger dots for rounds with more edits."""
    modes = result["modes"]
    with rc_context(STYLE):
        figure = Figure(figsize=(5.0, 3.0 * len(modes) + 0.4))
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(modes), 1, squeeze=False, sharey=True)[:, 0]
        for axis, (mode, about) in zip(axes, modes.items(), strict=True):
            by = "rms" if about["best"]["rms"] else "guidance"
            _panel(axis, about["tried"], "strength", by)
            axis.set_title(mode)
            axis.set_ylabel("worth of an edit over its sham")
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120, metadata={"Software": None})


def _panel(axis: Axes, tried: Sequence[Tried], across: str, colours: str) -> None:
    values = sorted({one[colours] for one in tried})
    steps = sorted({one[across] for one in tried})
    gap = min((b - a for a, b in pairwise(steps)), default=1.0)
    most = max((one["edits"] for one in tried), default=1)
    for number, value in enumerate(values):
        colour = LINES[number % len(LINES)]
        offset = (number - (len(values) - 1) / 2) * gap * 0.12  # beside, not over each other
        for one in (t for t in tried if t[colours] == value and t["worth"][0] is not None):
            middle, low, high = one["worth"]
            last = one["edits"] == most
            axis.plot([one[across] + offset] * 2, [low, high], color=colour if last else QUIET,
                      linewidth=1.2 if last else 0.4)  # fmt: skip
            axis.plot([one[across] + offset], [middle], "o", color=colour,
                      markersize=3 + 5 * one["edits"] / most)  # fmt: skip
        axis.plot([], [], "o", color=colour, label=f"{colours} {value:g}")
    axis.set_xlabel(across)
    axis.legend(fontsize=6)
