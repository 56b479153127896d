# SPDX-License-Identifier: Apache-2.0
"""A table, judged rows and their pictures in, one HTML page out: self-contained, no script.

Pictures are chosen by rule, never by hand: of every cell the edits with the highest, the median and
the lowest geometric gain, and the sham of the median one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from monai_cxr_cf.evaluation.edits.valid import CRITERIA, Row, gain_of
from monai_cxr_cf.evaluation.edits.words import (
    COLUMNS,
    NOTES,
    bar_figure,
    cell_text,
    judge_lines,
    number,
    reached,
)

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto;
  max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.4rem; font-size: 1.25rem; } h3 { font-size: 1.05rem; }
table { border-collapse: collapse; font-size: .85rem; }
caption { text-align: left; color: #444; padding: .3rem 0; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap; }
th[scope=row], td.text, th:first-child { text-align: left; }
thead th { vertical-align: bottom; white-space: normal; }
.met { color: #116329; font-weight: 600; } .missed { color: #a40e26; font-weight: 600; }
.wide { overflow-x: auto; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; border: 1px solid #ccc; }
figcaption { font-size: .85rem; color: #333; }
.note { background: #f6f6f3; border-left: 4px solid #b8b8a8; padding: .6rem 1rem; }
"""
RULE = (
    "Four pictures of every cell, by rule: the edits with the highest, the median and the lowest "
    "gain of geometry, and the sham of the median one. Panels: source; region; counterfactual "
    "(synthetic); change, red where denser, blue where more lucent, full colour at 64 grey levels."
)


def page(
    table: Mapping[str, Any], rows: Sequence[Row], header: Mapping[str, Any], pictures: Path
) -> str:
    """The page as one string.

    Args:
        table: of ``table.tabulate``.
        rows: judged rows.
        header: run.json.
        pictures: folder of the thumbnails; a row without one is shown in words.
    """
    judges = header.get("judges", {})
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>Edits of held-out radiographs, judged</title>",
        f"<style>{STYLE}</style></head><body><main>",
        "<h1>Edits of held-out radiographs, judged</h1>",
        f"<p>{table['edits']} edits and {table['shams']} shams (control edits with the same "
        f"region, seed and settings) of {table['patients']} patients; {table['refused']} rows of "
        "inputs that were refused. Every counterfactual on this page is <strong>synthetic, for "
        "research only</strong>.</p>",
        *_bars(table),
        "<h2>Who judged</h2><ul>",
        *(f"<li>{escape(line)}</li>" for line in judge_lines(judges)),
        "</ul>",
        f'<p class="note">{escape(NOTES)}</p>',
        *_figures("By finding", table["pools"]),
        *_figures("By cell", table["cells"]),
        f"<h2>Pictures</h2><p>{escape(RULE)}</p>",
    ]
    for cell in table["cells"]:
        parts += _cell(cell, rows, pictures)
    parts += ["<h2>Made with</h2>", *_weights(header), "</main></body></html>", ""]
    return "\n".join(parts)


def _bars(table: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Bars</h2><table><caption>What the project requires, and what was measured</caption>"
    yield '<thead><tr><th scope="col">requirement</th><th scope="col">bar</th>'
    yield '<th scope="col">measured</th><th scope="col">result</th></tr></thead><tbody>'
    for bar in table["bars"]:
        word = reached(bar)
        kind = word if word in ("met", "missed") else "open"
        yield f'<tr><th scope="row">{escape(bar["what"])}</th><td>{escape(bar["bar"])}</td>'
        yield f'<td>{escape(bar_figure(bar))}</td><td class="{kind}">{word}</td></tr>'
    yield "</tbody></table>"


def _figures(title: str, summaries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f'<h2>{escape(title)}</h2><div class="wide" tabindex="0"><table>'
    yield f"<caption>{escape(title)}, with 95 % intervals over patients</caption><thead><tr>"
    yield '<th scope="col">edit</th>'
    yield from (f'<th scope="col">{escape(heading)}</th>' for heading in COLUMNS)
    yield '<th scope="col">judged by</th></tr></thead><tbody>'
    for line in summaries:
        cells = "".join(f"<td>{escape(cell_text(line, heading))}</td>" for heading in COLUMNS)
        judged = f'<td class="text">{escape(line["judged_by"])}</td>'
        yield f'<tr><th scope="row">{escape(line["name"])}</th>{cells}{judged}</tr>'
    yield "</tbody></table></div>"


def examples(rows: Sequence[Row], cell: str) -> list[tuple[str, Row]]:
    """The rows shown of a cell and why: highest, median, lowest, the median's sham."""
    here = [row for row in rows if row["cell"] == cell]
    edits = [row for row in here if row["kind"] == "edit" and row["geometry_gain"] is not None]
    edits.sort(key=lambda row: (-row["geometry_gain"], row["key"]))
    if not edits:
        return []
    median = edits[len(edits) // 2]
    chosen = {edits[0]["key"]: ("highest gain", edits[0])}
    chosen.setdefault(median["key"], ("median gain", median))
    chosen.setdefault(edits[-1]["key"], ("lowest gain", edits[-1]))
    same = [median[name] for name in ("input", "seed", "config")]
    for row in here:
        if row["kind"] == "sham" and [row[n] for n in ("input", "seed", "config")] == same:
            chosen[row["key"]] = ("its sham", row)
    return list(chosen.values())


def _cell(cell: Mapping[str, Any], rows: Sequence[Row], pictures: Path) -> Iterator[str]:
    valid = cell_text(cell, "valid")
    yield f"<h3>{escape(cell['name'])}</h3>"
    yield f"<p>{cell['edits']} edits of {cell['patients']} patients; valid: {escape(valid)}.</p>"
    for why, row in examples(rows, cell["name"]):
        words = caption(why, row)
        yield "<figure>"
        path = pictures / str(row.get("picture", ""))
        if row.get("picture") and path.is_file():
            data = base64.b64encode(path.read_bytes()).decode()
            text = f"{row['kind']}, {cell['name']}: source, region, counterfactual, change"
            yield f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'
        yield f"<figcaption>{escape(words)}</figcaption></figure>"


def caption(why: str, row: Row) -> str:
    """What stands below a picture: why it is shown, the figures, which criteria failed."""
    failed = [name for name in CRITERIA if row["valid"][name] is False]
    words = "valid" if row["valid"]["all"] else f"not valid: {', '.join(failed) or 'not measured'}"
    gains = [f"geometry {number(row['geometry_gain'], 2)} (needed more than "
             f"{number(row['valid']['threshold'], 2)})"]  # fmt: skip
    for judge in ("j1", "j2"):
        gain = gain_of(row, judge)
        gains += [] if gain is None else [f"{judge.upper()} {gain:+.2f}"]
    place = f"“{row['prompt']}”" if row["kind"] == "edit" else "sham"
    engine = "engine's own verdict: " + row["verdict"]
    failing = row["verdict_failed"]
    engine += f" ({', '.join(failing)})" if failing else ""
    return f"{why}: {place}, seed {row['seed']}; {words}; {'; '.join(gains)}; {engine}."


def _weights(header: Mapping[str, Any]) -> Iterator[str]:
    yield "<table><caption>Digests of the networks; “none” where one was not used</caption><tbody>"
    for name, value in sorted(header.get("weights", {}).items()):
        yield f'<tr><th scope="row">{escape(name)}</th><td class="text"><code>{escape(value)}'
        yield "</code></td></tr>"
    yield "</tbody></table>"
