# SPDX-License-Identifier: Apache-2.0
"""Rows of a census in, its table out: one entry a finding, one line a group of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_cxr_cf.diffusion.attention.groups import GROUPS, MEASURED, TAIL, WORDS
from monai_cxr_cf.diffusion.model.layers import MID_LEVEL
from monai_cxr_cf.evaluation.bootstrap import interval

Row = Mapping[str, Any]
FIGURES = ("mass", "without", "alone")
SAID = {
    "finding": "The finding's own words carry it",
    "finding+eos": "The end token and the padding carry the finding, and its own words hardly do",
}


def tabulate(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry per finding, in the order of the rows.

    Returns:
        ``finding``, ``prompts``, ``patients``, ``rows``, ``change``; ``groups``, one entry per
        group that any prompt has: ``group``, ``tokens`` (mean), ``mass``, ``without``, ``alone``
        as [value, low, high] over patients or None, ``by_level`` and ``by_step``: level or
        timestep -> {"mass", "without"}.
    """
    return [
        _entry(name, [row for row in rows if row["finding"] == name])
        for name in dict.fromkeys(row["finding"] for row in rows)
    ]


def _entry(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    groups = [g for g in MEASURED if any(g in row["tokens"] for row in rows)]
    return {
        "finding": name,
        "prompts": list(dict.fromkeys(row["prompt"] for row in rows)),
        "patients": len({row["patient"] for row in rows}),
        "rows": len(rows),
        "change": round(float(np.mean([row["change"] for row in rows])), 5),
        "groups": [_group(g, [row for row in rows if g in row["tokens"]]) for g in groups],
    }


def _group(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Means over the rows whose prompt has such tokens."""
    patients = [row["patient"] for row in rows]
    levels, steps = rows[0]["mass"], dict.fromkeys(row["timestep"] for row in rows)
    return {
        "group": name,
        "tokens": round(float(np.mean([row["tokens"][name] for row in rows])), 1),
        **{f: _rounded(interval([_of(row, f, name) for row in rows], patients)) for f in FIGURES},
        "by_level": {
            str(at): {
                "mass": _mean([_mass(row["mass"][at], name) for row in rows]),
                "without": _mean([_number(row["without_at"][at][name]) for row in rows]),
            }
            for at in levels
        },
        "by_step": {
            str(t): {
                f: _mean([_of(row, f, name) for row in rows if row["timestep"] == t])
                for f in ("mass", "without")
            }
            for t in steps
        },
    }


def _of(row: Row, figure: str, name: str) -> float:
    """A figure of one row; attention mass is the mean over levels."""
    if figure == "mass":
        return float(np.mean([_mass(level, name) for level in row["mass"].values()]))
    return _number(row[figure][name])


def _mass(level: Mapping[str, float], name: str) -> float:
    return level["eos"] + level["padding"] if name == TAIL else level[name]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return round(float(np.mean(known)), 4) if known else None


def _rounded(values: Sequence[float]) -> list[float] | None:
    return None if np.isnan(values[0]) else [round(float(v), 4) for v in values]


def level_name(level: str) -> str:
    """A level in words."""
    return "mid" if int(level) == MID_LEVEL else f"level {level}"


def table_text(result: Mapping[str, Any]) -> str:
    """The census as Markdown: the answer, then a table a finding."""
    lines = [f"# Token census of {result['backbone']}", ""]
    lines += [f"{SAID[result['carrier']]} (`{result['carrier']}`).", ""]
    lines += [
        "Without: share of the words' effect on the predicted noise that goes where the group"
    ]
    lines += [
        "has the keys and values of the source prompt. Alone: share that stays where all other"
    ]
    lines += [
        "tokens have them. Shares need not add up to 100 %. Means over radiographs, prompts and"
    ]
    lines += ["timesteps, 95 % intervals over patients; levels: without, on that level only."]
    for entry in result["table"]:
        lines += ["", *_lines(entry)]
    return "\n".join(lines)


def _lines(entry: Mapping[str, Any]) -> list[str]:
    quoted = "; ".join(f'"{text}"' for text in entry["prompts"])
    several = entry["patients"] > 1
    levels = list(entry["groups"][0]["by_level"])
    head = ["tokens of", "n", "attention", "without", "alone", *map(level_name, levels)]
    lines = [
        f"## {entry['finding']}",
        "",
        f"{quoted}: {entry['patients']} patients, {entry['rows']} measurements; the words change "
        f"{entry['change']:.1%} of the prediction.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for row in entry["groups"]:
        cells = [WORDS[row["group"]], f"{row['tokens']:g}"]
        cells += [_cell(row[figure], several=several) for figure in FIGURES]
        cells += [_percent(row["by_level"][at]["without"]) for at in levels]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(found: Sequence[float] | None, *, several: bool) -> str:
    if found is None:
        return "-"
    value, low, high = (f"{v * 100:.1f}" for v in found)
    return f"{value} % ({low} to {high})" if several else f"{value} %"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f} %"


def matrix(entry: Mapping[str, Any], figure: str) -> tuple[list[str], list[str], Any]:
    """Names of rows and columns, and values (groups, levels then timesteps); NaN = unknown."""
    rows = [row for row in entry["groups"] if row["group"] in GROUPS or figure != "mass"]
    levels, steps = rows[0]["by_level"], rows[0]["by_step"]
    values = [
        [_number(part[key][figure]) for part in (row["by_level"], row["by_step"]) for key in part]
        for row in rows
    ]
    columns = [*map(level_name, levels), *(f"t {t}" for t in steps)]
    return [WORDS[row["group"]] for row in rows], columns, np.array(values)
