# SPDX-License-Identifier: Apache-2.0
"""Small drawings for the page as SVG and HTML: response curves, shares, intervals, a heat map.

Every drawing has its numbers in words beside it: colour alone says nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, PAD = 340, 190, 34
EDIT, SHAM = "#1b5e9b", "#8a8a8a"


def curve(entry: Mapping[str, Any], *, sampled: bool = False) -> str:
    """Rise of a score over severity or share of the change, edits and shams, with 95 % bands."""
    levels = [0.0, *entry["levels"]]
    none = {"value": 0.0, "low": 0.0, "high": 0.0}
    rows = {kind: [none, *entry[kind]] for kind in ("sham", "edited")}
    values = [p[key] or 0.0 for row in rows.values() for p in row for key in ("low", "high")]
    low, high = min(-0.1, *values), max(0.1, *values)

    def x(level: float) -> float:
        return PAD + level * (WIDTH - PAD - 8)

    def y(value: float) -> float:
        return 8 + (high - value) / (high - low) * (HEIGHT - PAD - 8)

    parts = [f'<path d="M{PAD} {y(0):.1f}H{WIDTH - 8}" stroke="#999"/>']
    for kind, colour in (("sham", SHAM), ("edited", EDIT)):
        row = rows[kind]
        ends = [(x(v), y(p[key] or p["value"] or 0)) for key in ("high", "low")
                for v, p in zip(levels, row, strict=True)]  # fmt: skip
        band = ends[: len(row)] + ends[len(row) :][::-1]
        line = [(x(v), y(p["value"] or 0)) for v, p in zip(levels, row, strict=True)]
        dash = ' stroke-dasharray="4 3"' if kind == "sham" else ""
        parts.append(f'<polygon points="{_points(band)}" fill="{colour}" opacity=".18"/>')
        parts.append(f'<polyline points="{_points(line)}" fill="none" stroke="{colour}" '
                     f'stroke-width="2"{dash}/>')  # fmt: skip
    for value in (low, 0.0, high):
        parts.append(f'<text x="{PAD - 4}" y="{y(value) + 4:.1f}" text-anchor="end">'
                     f"{value:+.2f}</text>")  # fmt: skip
    for level in levels:
        parts.append(f'<text x="{x(level):.1f}" y="{HEIGHT - 14}" text-anchor="middle">'
                     f"{level:g}</text>")  # fmt: skip
    along = "severity" if sampled else "share of the change"
    title = f"{entry['name']}: rise of '{entry['label']}' over {along}"
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 2}" text-anchor="middle">{along} '
                 "(1 = the whole edit); line: edit, dashes: sham</text>")  # fmt: skip
    return (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">{"".join(parts)}</svg>'
    )


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def shares(entry: Mapping[str, Any]) -> Iterator[str]:
    """A bar an organ: the share of the effect that its pixels carry; nothing of too small a one."""
    if not entry["organs"]:
        return
    yield '<table class="bars"><caption>Share of the effect: organs of the source, together 100 %'
    yield "</caption><tbody>"
    for kind in ("organs", "zones"):
        if kind == "zones" and entry[kind]:
            yield '<tr><th colspan="3" scope="rowgroup">zones of the lungs, from 5 %</th></tr>'
        for name, share in entry[kind].items():
            if kind == "zones" and abs(share) < 0.05:
                continue
            width = max(0.0, min(1.0, share)) * 160
            words = escape(name.replace("_", " "))
            yield f'<tr><th scope="row">{words}</th><td>{share:.0%}</td><td><span class="bar" '
            yield f'style="width:{width:.0f}px"></span></td></tr>'
    yield "</tbody></table>"


def heat(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Edits by scores: the mean change beyond shams, coloured by sign and size; * = Holm."""
    names = list(dict.fromkeys(entry["name"] for entry in entries))
    labels = list(dict.fromkeys(entry["label"] for entry in entries))
    cells = {(entry["name"], entry["label"]): entry for entry in entries}
    yield '<div class="wide" tabindex="0"><table><caption>Change beyond the sham of every score '
    yield "that is not the edit's own; * where it is more than chance and more than the margin"
    yield '</caption><thead><tr><th scope="col">edit</th>'
    yield from (f'<th scope="col">{escape(label)}</th>' for label in labels)
    yield "</tr></thead><tbody>"
    for name in names:
        yield f'<tr><th scope="row">{escape(name)}</th>'
        for label in labels:
            entry = cells.get((name, label))
            if entry is None or entry["value"] is None:
                yield "<td>own</td>" if entry is None else "<td>–</td>"
                continue
            strength = min(1.0, abs(entry["value"]) / 0.3)
            colour = "200,60,40" if entry["value"] > 0 else "40,90,170"
            star = "*" if entry["says"] == "moves" else ""
            yield f'<td style="background:rgba({colour},{strength * 0.5:.2f})">'
            yield f"{entry['value']:+.2f}{star}</td>"
        yield "</tr>"
    yield "</tbody></table></div>"
