# SPDX-License-Identifier: Apache-2.0
"""The trace of a run in, ``trace.png`` out: which tokens moved the picture, and every step's laws.

The census of the run stands above in plain words, as ``diffusion.census`` saw it.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monai_cxr_cf.dicom.png_origin import DATA
from monai_cxr_cf.runs.pictures import BAND, LINES, QUIET, drawing, save_figure

SAID = {
    "modifier": "side, zone and degree",
    "organ": "organ names",
    "other": "other words",
    "eos+padding": "end and padding",
}
WIDTH = 92  # letters of a line above the panels


def trace_figure(trace: Mapping[str, Any], path: Path) -> None:
    """Write census, region score, energy and correction of every executed step (docs/method.md 6).

    Lines are means over the images of the run; the tinted span is the boost window.
    """
    steps = trace.get("steps", [])
    with drawing():
        figure = Figure((6.2, 5.0), dpi=180, layout="constrained")
        score, energy, moved = figure.subplots(3, 1, sharex=True)
        _score_lines(score, steps)
        found = [_mean(step["energy"]) for step in steps]
        energy.plot(range(len(steps)), found, color=LINES[1], marker="o", markersize=2.5)
        energy.set_ylabel("energy (Eq. 8)")
        _corrections(moved, steps)
        for axes in (score, energy, moved):
            axes.margins(x=0.02)
            axes.grid(axis="y", color="#dddddd", linewidth=0.5)
            axes.set_axisbelow(True)
            _window(axes, steps)
        moved.set_xlabel("executed step (first: most noise); tinted: boost window")
        moved.xaxis.get_major_locator().set_params(integer=True)
        figure.align_ylabels()
        told = [line for entry in trace.get("census", []) for line in _folded(entry)]
        if told:
            figure.suptitle("\n".join(told), fontsize=7.5, x=0.01, ha="left")
        save_figure(figure, path, crop=True, kind=DATA)


def census_words(entry: Mapping[str, Any]) -> str:
    """An entry of the census in one sentence: whose tokens carry which share of the effect."""
    shares = [(SAID.get(row["group"], repr(row["group"])), row["share"]) for row in entry["groups"]]
    parts = [f"{name} {_percent(share)}" for name, share in shares]
    text = "the words to steer away from" if entry["prompt"] == "negative" else "the prompt"
    return f"What carries the effect of {text}: {'; '.join(parts)}."


def _folded(entry: Mapping[str, Any]) -> list[str]:
    return textwrap.wrap(census_words(entry), WIDTH)


def _percent(share: float | None) -> str:
    """Whole percent; a share against the words' own direction counts as none."""
    return "unknown" if share is None else f"{max(share, 0.0) * 100:.0f} %"


def _score_lines(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    """Share of a finding's attention in its region, per attention level; 1 = all of it."""
    keys = {(level, name) for s in steps for level, row in s["roi_score"].items() for name in row}
    for number, (level, name) in enumerate(sorted(keys)):
        values = [_mean(s["roi_score"].get(level, {}).get(name, [])) for s in steps]
        colour, label = LINES[number % len(LINES)], f"{name}, level {level}"
        axes.plot(range(len(steps)), values, color=colour, label=label, marker="o", markersize=2.5)
    axes.set_ylabel("region score (Eq. 7)")
    axes.set_ylim(bottom=0)
    if keys:
        axes.legend(fontsize=6.5, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))


def _corrections(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    """Displacement of the latent; a cross where a due correction was not made."""
    done = [s["correction"] or {} for s in steps]
    lengths = [_mean(one.get("displacement", [])) for one in done]
    axes.bar(range(len(steps)), np.nan_to_num(lengths), color=LINES[0], width=0.6)
    held = [i for i, one in enumerate(done) if any(one.get("reason", [])) and not lengths[i] > 0]
    axes.plot(
        held, [0.0] * len(held), "x", color=QUIET, markersize=4, clip_on=False, label="held back"
    )
    axes.set_ylabel("correction (Eq. 9)\nRMS / $\\sqrt{1-\\bar\\alpha}$")
    if held:
        axes.legend(fontsize=6.5, loc="upper right")


def _window(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    inside = [number for number, step in enumerate(steps) if step["window"]]
    if inside:
        axes.axvspan(
            inside[0] - 0.5, inside[-1] + 0.5, color=BAND, alpha=0.25, linewidth=0, zorder=0
        )


def _mean(values: Sequence[float | None]) -> float:
    """Mean over images; NaN, which is not drawn, where nothing was measured."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")
