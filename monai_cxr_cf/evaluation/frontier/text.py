# SPDX-License-Identifier: Apache-2.0
"""A finished frontier in, Markdown out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_cxr_cf.evaluation.frontier.curves import PATIENTS

INTRODUCTION = """\
# What the laws buy

*In*: mean absolute difference of edit and sham inside the region; *out*: the same beyond region
and band; *signed*: the mean difference inside; grey levels of 255, the decoder's own output on the
model grid, no paste, no composite. The sham has the same noise, region and settings, and the source
prompt as its target. *Out at equal in*: change with a law over change without it where both have
the same effect inside, read along guidance; below 1 the law pays. 95 % intervals over patients."""


def frontier_text(result: Mapping[str, Any]) -> str:
    """The whole frontier: per section the laws with their verdicts, then every setting."""
    plan = result["plan"]
    about = f"Preset `{plan['preset']}`, backbone `{plan['backbone']}`, split `{plan['split']}`"
    refused = f"; {len(result['refused'])} refused" if result["refused"] else ""
    lines = [INTRODUCTION, "", f"{about}, {plan['seeds']} seed(s) a radiograph{refused}."]
    for section in result["sections"]:
        lines += ["", *_section_text(section)]
    return "\n".join(lines)


def short(result: Mapping[str, Any]) -> str:
    """What a terminal shows: the laws of the first section of each direction."""
    lines: list[str] = []
    seen: set[str] = set()
    for section in result["sections"]:
        if section["mode"] not in seen:
            seen.add(section["mode"])
            lines += [f"## {title_of(section)}", "", *_laws_text(section["laws"])]
    return "\n".join(lines).rstrip()


def title_of(section: Mapping[str, Any]) -> str:
    """E.g. "additions: pleural effusion, 6 edits of 2 patients"."""
    what = section["finding"] or "all findings"
    count = f"{section['edits']} edits of {section['patients']} patients"
    return f"{section['mode']}: {what}, {count}"


def _section_text(section: Mapping[str, Any]) -> list[str]:
    bands = ", ".join(f"{band:g}" for band in section["bands_px"])
    lines = [f"## {title_of(section)}", "", f"Band: {bands} px of the model grid."]
    if section["patients"] < PATIENTS:
        lines[-1] += f" Fewer than {PATIENTS} patients decide nothing."
    return [*lines, "", *_laws_text(section["laws"]), *_settings_text(section["rows"])]


def _laws_text(laws: Sequence[Mapping[str, Any]]) -> list[str]:
    """The verdicts and an empty line; nothing where nothing is compared."""
    if not laws:
        return []
    lines = ["| law | in, with / without | out, with / without | out at equal in | |"]
    lines.append("|---|---|---|---|---|")
    for law in laws:
        cells = [_cell(law[name], 3) for name in ("in_ratio", "out_ratio", "out_at_equal_in")]
        lines.append(f"| {law['law']} | {' | '.join(cells)} | {law['verdict']} |")
    return [*lines, ""]


def _settings_text(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| setting | guidance | in | out | in/out | signed | right way | out at equal in | front |"
    ]
    lines.append("|---" * 9 + "|")
    for row in rows:
        guidance = "calibrated" if row["guidance"] is None else f"{row['guidance']:g}"
        figures = [_cell(row["in"], 1), _cell(row["out"], 2), _cell(row["ratio"], 1)]
        figures += [_cell(row["signed"], 1, signed=True), f"{100 * row['right_way']:.0f} %"]
        equal = "" if row["out_at_equal_in"] is None else _cell(row["out_at_equal_in"], 2)
        front = "yes" if row["on_front"] else ""
        lines.append(f"| {row['line']} | {guidance} | {' | '.join(figures)} | {equal} | {front} |")
    return lines


def _cell(found: Sequence[float | None], digits: int, *, signed: bool = False) -> str:
    value, low, high = found
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if low is None or high is None:
        return f"{value:{sign}.{digits}f}"
    return f"{value:{sign}.{digits}f} ({low:{sign}.{digits}f} to {high:{sign}.{digits}f})"
