# SPDX-License-Identifier: Apache-2.0
"""A folder of rows in, table.json, table.md, index.html, medians.jpg and evidence.json out.

Runs on finished rows alone, so a page can be drawn again, or drawn of a run that is still going.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_cxr_cf.evaluation.edits.page import examples, page
from monai_cxr_cf.evaluation.edits.pictures import save_sheet
from monai_cxr_cf.evaluation.edits.store import PICTURES, read_header, read_rows
from monai_cxr_cf.evaluation.edits.table import evidence, tabulate
from monai_cxr_cf.evaluation.edits.valid import Rule, judged
from monai_cxr_cf.evaluation.edits.words import markdown
from monai_cxr_cf.evaluation.rows import Row, write_json, write_text


def write_report(
    folder: Path, rows: Sequence[Row] | None = None, rule: Rule | None = None
) -> dict[str, Any]:
    """Judge the rows of a folder and write everything a reader gets; returns the table.

    Args:
        folder: of a run.
        rows: the rows that count; None = all in the folder.
        rule: what makes an edit valid; None = the protocol's.

    Raises:
        BadRequest: the folder holds no run.
    """
    header = read_header(folder)
    judges = header["judges"]
    given = read_rows(folder) if rows is None else list(rows)
    kept = judged(given, judges, rule)
    table = tabulate(kept, refused=len(given) - len(kept), rule=rule)
    write_json(folder / "table.json", table | {"weights": header["weights"], "judges": judges})
    write_text(folder / "table.md", markdown(table, judges))
    write_text(folder / "index.html", page(table, kept, header, folder / PICTURES))
    write_json(folder / "evidence.json", evidence(table, header["weights"]))
    if strips := _medians(table, kept, folder / PICTURES):
        save_sheet(strips, folder / "medians.jpg")
    return table


def _medians(table: dict[str, Any], rows: Sequence[Row], pictures: Path) -> dict[str, Path]:
    """The picture of each cell's edit of median gain, by the cell's name; only those there are."""
    found = {}
    for cell in table["cells"]:
        shown = dict(examples(rows, cell["name"]))
        row = shown.get("median gain", next(iter(shown.values()), {}))  # the only one is all
        path = pictures / str(row.get("picture"))
        if path.is_file():
            found[cell["name"]] = path
    return found
