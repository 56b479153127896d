# SPDX-License-Identifier: Apache-2.0
"""The trace of a run in, ``trace.png`` out: which tokens moved the picture, and every step's laws.

Above stands in plain words which laws acted, and the census of the run as ``diffusion.census`` saw
it. A law that rests has no panel and no tint.
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
LAWS = {
    "gate": "organ gate (Eq. 5)",
    "boost": "boost (Eq. 6)",
    "correction": "correction (Eq. 9)",
    "anatomy": "organ words",
    "regional-prompt": "regional prompt",
    "regional-guidance": "regional guidance",
    "paste": "paste",
}
WINDOWED = {"boost": "6", "correction": "9"}  # equations of the laws that act in the window only
WIDTH = 100  # letters of a line above the panels
LEGEND, STYLES = 3, ("o-", "s--", "^:", "v-.")  # names a line; of lines beyond the colours
PANEL, LINE, EDGE = 1.45, 0.135, 0.6  # inches: a panel, a line above them, the rest


def trace_figure(trace: Mapping[str, Any], path: Path) -> None:
    """Write laws and census in words, region score, energy and correction of every executed step.

    Lines are means over the images of the run (docs/method.md 6); the tinted span is the window of
    those of Eq. 6 and 9 that act. What was not measured has no panel.
    """
    steps, acting = trace.get("steps", []), trace.get("laws", [])
    scored = _scored(steps)
    panels = [_score_lines] if scored else []
    panels += [_energies, _corrections] if "correction" in acting else []
    told = [*_who(trace, acting), *census_words(trace.get("census", []))]
    lines = [line for text in told for line in textwrap.wrap(text, WIDTH)]
    above = len(lines) - (-len(scored) // LEGEND)
    size = (6.2, EDGE + LINE * above + PANEL * len(panels))
    with drawing():
        figure = Figure(size, dpi=180, layout="constrained")
        if panels:
            column = list(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0])
            for axes, draw in zip(column, panels, strict=True):
                draw(axes, steps)
            _dress(column, steps, acting)
            figure.align_ylabels()
        figure.suptitle("\n".join(lines), fontsize=7.5, x=0.01, ha="left")
        save_figure(figure, path, crop=True, kind=DATA)


def _dress(
    column: Sequence[Axes], steps: Sequence[Mapping[str, Any]], acting: Sequence[str]
) -> None:
    """Grid, tint and labels that the panels share."""
    windowed = [number for law, number in WINDOWED.items() if law in acting]
    for axes in column:
        axes.margins(x=0.02)
        axes.grid(axis="y", color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        if windowed:
            _window(axes, steps)
    tint = f"; tinted: window of Eq. {' and '.join(windowed)}" if windowed else ""
    column[-1].set_xlabel(f"executed step (first: most noise){tint}")
    locator: Any = column[-1].xaxis.get_major_locator()
    locator.set_params(integer=True)


def _who(trace: Mapping[str, Any], acting: Sequence[str]) -> list[str]:
    """Which laws acted; or, of a published editor, which settings it had."""
    if "settings" not in trace:
        return laws_words(acting)
    said = ", ".join(f"{key} {value}" for key, value in trace["settings"].items() if value != "")
    name, steps = trace["method"], len(trace.get("steps", []))
    return [f"Method: {name}, {steps} steps{'; ' if said else ''}{said}.".replace("_", " ")]


def laws_words(acting: Sequence[str]) -> list[str]:
    """Which laws acted, and which rested, a sentence each."""
    acted = [said for name, said in LAWS.items() if name in acting]
    rested = [said for name, said in LAWS.items() if name not in acting]
    return [f"Laws that acted: {_listed(acted)}.", f"Laws at rest: {_listed(rested)}."]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def census_words(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The census, a sentence a text: whose tokens carry which share of the effect."""
    apart = any(entry["prompt"] == "own" for entry in entries)
    return [_sentence(entry, apart=apart) for entry in entries]


def _sentence(entry: Mapping[str, Any], *, apart: bool) -> str:
    """One entry in words; ``apart``: findings have texts of their own."""
    named = {entry.get("finding"): "its own words"}
    parts = [
        f"{SAID.get(name) or named.get(name) or repr(name)} {_percent(row['share'])}"
        for row in entry["groups"]
        for name in [row["group"]]
    ]
    text = "the prompt of all, where layers know no region" if apart else "the prompt"
    text = {
        "own": f"the text of {entry.get('finding')!r} in its region",
        "negative": "the words to steer away from",
    }.get(entry["prompt"], text)
    return f"What carries the effect of {text}: {'; '.join(parts)}."


def _percent(share: float | None) -> str:
    """Whole percent; a share against the words' own direction counts as none."""
    return "unknown" if share is None else f"{max(share, 0.0) * 100:.0f} %"


def _scored(steps: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Level and finding of every score in a trace."""
    found = {(level, name) for s in steps for level, row in s["roi_score"].items() for name in row}
    return sorted(found)


def _score_lines(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    """Share of a finding's attention in its region, per attention level; 1 = all of it."""
    for number, (level, name) in enumerate(_scored(steps)):
        values = [_mean(s["roi_score"].get(level, {}).get(name, [])) for s in steps]
        colour, label = LINES[number % len(LINES)], f"{name}, level {level}"
        style = STYLES[number // len(LINES) % len(STYLES)]
        axes.plot(range(len(steps)), values, style, color=colour, label=label, markersize=2.5)
    axes.set_ylabel("region score (Eq. 7)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=6.5, ncols=LEGEND, loc="lower left", bbox_to_anchor=(0, 1))


def _energies(axes: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    """What the correction lowers."""
    found = [_mean(step["energy"]) for step in steps]
    axes.plot(range(len(steps)), found, color=LINES[1], marker="o", markersize=2.5)
    axes.set_ylabel("energy (Eq. 8)")


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
