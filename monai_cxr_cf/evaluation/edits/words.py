# SPDX-License-Identifier: Apache-2.0
"""A table in, text out: figures as words, table.md, and the short answer on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_cxr_cf.judges.card import counts_in

Figure = Sequence[float | None]
# heading -> (key of a summary, how it is written)
COLUMNS: dict[str, tuple[str, str]] = {
    "edits": ("edits", "count"),
    "patients": ("patients", "count"),
    "valid": ("valid", "share"),
    "valid and clean": ("clean", "share"),
    "classifier": ("classifier", "only"),
    "geometry": ("geometry", "only"),
    "others kept": ("others", "only"),
    "organs kept": ("organs", "only"),
    "outside 0": ("outside", "only"),
    "side obeyed": ("side_obeyed", "share"),
    "shams that pass": ("sham_pass", "share"),
    "verdict passed": ("verdict_passed", "share"),
    "verdict of shams": ("sham_verdict_passed", "only"),
    "J2 gain": ("j2_gain", "number"),
    "J1 gain": ("j1_gain", "number"),
    "geometry gain": ("geometry_gain", "number"),
    "of shams": ("geometry_gain_sham", "plain"),
    "change in region": ("mean_shift_region", "plain"),
    "share inside": ("inside_share", "only"),
    "landmark drift": ("landmark_drift_px", "plain"),
    "SSIM in / out": ("ssim", "pair"),
    "LPIPS in / out": ("lpips", "pair"),
    "seconds": ("seconds", "plain"),
}
NOTES = (
    "Valid: the classifier J2 sees the asked change (where its AUC for the finding is at least "
    ".80), geometry moves the right way by more than 95 % of other patients' shams, no unrelated "
    "finding rises by more than .1, organs that may not change keep Dice .95, and nothing outside "
    "region and band changes. Valid and clean: and the engine's own checks find neither holes and "
    "glare nor noise in the region, which the rule of validity does not ask. Verdict passed: what "
    "the engine says to its user, by fixed limits and without shams. Gains of geometry are "
    "in standard deviations of normals; change in region in grey levels of 255; landmark "
    "drift in pixels of an image 1024 wide; seconds per edit. Brackets: 95 % intervals over "
    "patients. A dash: not measured. No radiologist judged."
)


def cell_text(summary: Mapping[str, Any], heading: str) -> str:
    """One cell of the table in words; a dash where nothing was measured."""
    key, kind = COLUMNS[heading]
    if kind == "count":
        return str(summary[key])
    if kind == "pair":
        both = (summary[f"{key}_inside"][0], summary[f"{key}_outside"][0])
        return " / ".join(number(value, 3) for value in both)
    if kind == "share":
        return share(summary[key])
    if kind == "only":
        return percent(summary[key][0])
    if kind == "number":
        return spread(summary[key])
    return number(summary[key][0], 2)


def percent(value: float | None) -> str:
    """A share as whole percent."""
    return "–" if value is None else f"{value:.0%}".replace("%", " %")


def share(figure: Figure) -> str:
    """A share with its interval."""
    value, low, high = figure
    if value is None or low is None or high is None:
        return "–"
    return f"{percent(value)} ({low * 100:.0f}–{high * 100:.0f})"


def number(value: float | None, digits: int) -> str:
    """A number with that many decimals."""
    return "–" if value is None else f"{value:.{digits}f}"


def spread(figure: Figure) -> str:
    """A number with its interval."""
    value, low, high = figure
    if value is None:
        return "–"
    return f"{number(value, 2)} ({number(low, 2)} to {number(high, 2)})"


def reached(bar: Mapping[str, Any]) -> str:
    """met, missed or not measured."""
    return {True: "met", False: "missed", None: "not measured"}[bar["reached"]]


def bar_figure(bar: Mapping[str, Any]) -> str:
    """The figure beside a bar."""
    if "outside" in bar["what"]:
        return number(bar["figure"][0], 0)
    return share(bar["figure"])


def judge_lines(judges: Mapping[str, Any]) -> list[str]:
    """One line a finding and judge: the AUC beside which its scores must be read."""
    if not judges:
        return ["No classifier judged: its columns are empty, and geometry alone decides."]
    lines = []
    for key, judge in sorted(judges.items()):
        lines += [] if judge["auc"] else [f"{key.upper()}: no AUC was measured; it does not count"]
        for finding, figures in judge["auc"].items():
            low, high = figures.get("low"), figures.get("high")
            name = "" if judge["name"] == key else f" {judge['name']}"
            words = f"{key.upper()}{name}, {finding}: AUC {figures['auc']:.2f}"
            words += "" if low is None else f" ({low:.2f} to {high:.2f})"
            where = counts_in(figures)
            lines.append(words + (f", counts in {where}" if where else ", does not count"))
    return lines


def markdown(table: Mapping[str, Any], judges: Mapping[str, Any]) -> str:
    """table.md: bars, pools, cells, judges, notes."""
    parts = ["# Edits of held-out radiographs, judged", "", _counts(table), ""]
    parts += ["| bar | required | measured | |", "|---|---|---|---|"]
    parts += [
        f"| {bar['what']} | {bar['bar']} | {bar_figure(bar)} | {reached(bar)} |"
        for bar in table["bars"]
    ]
    for title, key in (("By finding", "pools"), ("By cell", "cells")):
        headings = ["edit", *COLUMNS, "judged by"]
        parts += ["", f"## {title}", "", _line(headings), _line(["---"] * len(headings))]
        parts += [
            _line([s["name"], *(cell_text(s, h) for h in COLUMNS), s["judged_by"]])
            for s in table[key]
        ]
    parts += ["", "## Judges", "", *(f"- {line}" for line in judge_lines(judges)), "", NOTES, ""]
    return "\n".join(parts)


def short(table: Mapping[str, Any]) -> str:
    """What the command line says: the bars."""
    lines = [_counts(table)]
    lines += [
        f"{bar['what']:<40} {bar['bar']:>8}   {bar_figure(bar):<18} {reached(bar)}"
        for bar in table["bars"]
    ]
    return "\n".join(lines)


def _counts(table: Mapping[str, Any]) -> str:
    words = f"{table['edits']} edits and {table['shams']} shams of {table['patients']} patients"
    return f"{words}; {table['refused']} rows refused."


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
