# SPDX-License-Identifier: Apache-2.0
"""Tables and pictures in, one HTML page out: self-contained, no script."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from monai_cxr_cf.evaluation.edits.page import STYLE
from monai_cxr_cf.evaluation.methods.paper import Table, table1
from monai_cxr_cf.evaluation.methods.table import Line, markdown

KINDS = {".jpg": "jpeg", ".png": "png"}


def page(
    table: Table,
    found: Sequence[Line],
    out: Path,
    *,
    cases: Path | None,
    plot: Path | None,
) -> str:
    """The page as one string; Table 2 and axioms are taken from ``out`` if they are there."""
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<title>Editors of radiographs, side by side</title>",
        f"<style>{STYLE}</style></head><body><main>",
        "<h1>Editors of radiographs, side by side</h1>",
        "<p>Every picture of an edit on this page is <strong>synthetic, for research only"
        "</strong>.</p>",
        *_picture(plot, "effect inside against change outside, by method"),
        *_picture(cases, "cases in rows, methods in columns; under each picture its change"),
        "<p>The decoder's own pictures; the first edit of each kind, whatever it looks like.</p>",
        "<h2>Table 1</h2>",
        *tables(table1(table)),
        "<h2>Valid edits</h2>",
        *tables(markdown(found, table.costs)),
    ]
    for name, title in (("table2", "Table 2: each law switched off"), ("axioms", "Axioms")):
        if (out / f"{name}.md").is_file():
            parts.append(f"<h2>{title}</h2>")
            parts += tables((out / f"{name}.md").read_text(encoding="utf-8"))
    return "\n".join([*parts, "</main></body></html>", ""])


def _picture(path: Path | None, words: str) -> Iterator[str]:
    if path is not None:
        data = base64.b64encode(path.read_bytes()).decode()
        kind = KINDS[path.suffix]
        yield f'<figure class="wide"><img alt="{escape(words)}" style="max-width:none" '
        yield f'src="data:image/{kind};base64,{data}">'
        yield f"<figcaption>{escape(words)}</figcaption></figure>"


def tables(text: str) -> Iterator[str]:
    """Our own Markdown as HTML: headings, tables, lines."""
    inside = False
    for line in text.splitlines():
        if line.startswith("|") != inside:
            inside = not inside
            yield '<div class="wide"><table>' if inside else "</table></div>"
        if line.startswith("|---"):
            continue
        if inside:
            cells = [escape(cell.strip().strip("`")) for cell in line.strip("|").split("|")]
            yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        elif line.startswith("## "):
            yield f"<h3>{escape(line[3:])}</h3>"
        elif line:
            yield f"<p>{escape(line)}</p>"
    if inside:
        yield "</table></div>"
