# SPDX-License-Identifier: Apache-2.0
"""The lines of all shards as one table, ``results.parquet``, ``.csv`` or ``.jsonl``.

A row a line, in the order of the plan: what was asked, what became of it, where it lies, and the
columns that were passed through. Times, attempts and other things that differ from run to run are
not in it, so two runs of one manifest give the same table.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.store.results import DONE, History, histories, read_lines
from monai_cxr_cf.batch.store.run_folder import FOLDERS, RunFolder
from monai_cxr_cf.errors import INSTALL_EXTRA, ComponentMissing

KINDS = ("parquet", "csv", "jsonl")
COLUMNS = ("number", "id", "state", "code", "message", "key", "folder", "verdict",
           "outside_max_diff", "path", "request", "patient", "group")  # fmt: skip
NUMBERS = ("number", "outside_max_diff")
MANY = 4096  # rows that are written at once
Cells = dict[str, Any]


def compact(folder: RunFolder, kind: str = "parquet") -> Path:
    """Write the table; returns its path.

    Raises:
        ComponentMissing: Parquet without pyarrow.
    """
    path = folder.path / f"results.{kind}"
    part = path.with_name(f".{path.name}.part")
    further = sorted({name for row, _ in rows(folder) for name in row.more} - set(COLUMNS))
    writer = {"parquet": _parquet, "csv": _csv, "jsonl": _json_lines}[kind]
    try:
        writer(part, table(folder), (*COLUMNS, *further))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def rows(folder: RunFolder) -> Iterator[tuple[Row, History]]:
    """Every planned row and what is known of it, a shard at a time."""
    return ((row, history) for _, row, history in by_shard(folder))


def by_shard(folder: RunFolder) -> Iterator[tuple[int, Row, History]]:
    """The same, with the number of the shard."""
    for number in range(folder.read().shards):
        known = histories(read_lines(folder.results(number)))
        for row in folder.read_plan(number):
            yield number, row, known.get(row.number, History())


def table(folder: RunFolder) -> Iterator[Cells]:
    """The cells of every row."""
    for number, row, history in by_shard(folder):
        last = history.last
        state = last["state"] if history.over else "left"
        place = folder.pack(number)
        if folder.output == FOLDERS and state == DONE:
            place = folder.row(last["key"])
        yield {
            **row.more,
            "number": row.number,
            "id": row.id,
            "state": state,
            "code": last.get("code", ""),
            "message": last.get("message", ""),
            "key": last.get("key", ""),
            "folder": place.relative_to(folder.path).as_posix() if state == DONE else "",
            "verdict": last.get("verdict") or "",
            "outside_max_diff": last.get("outside_max_diff"),
            "path": row.given,
            "request": json.dumps(row.request, sort_keys=True, ensure_ascii=False),
            "patient": row.patient,
            "group": row.group,
        }


def _csv(path: Path, cells: Iterator[Cells], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(value) for name, value in row.items()} for row in cells)


def _json_lines(path: Path, cells: Iterator[Cells], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for row in cells:
            told = {name: row[name] for name in columns if name in row}
            stream.write(json.dumps(told, ensure_ascii=False) + "\n")


def _parquet(path: Path, cells: Iterator[Cells], columns: Sequence[str]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ComponentMissing(
            "Parquet needs the package pyarrow; --to csv and --to jsonl do not.",
            hint=INSTALL_EXTRA.format("batch"),
        ) from error
    kinds = [pyarrow.int64() if name in NUMBERS else pyarrow.string() for name in columns]
    schema = pyarrow.schema(list(zip(columns, kinds, strict=True)))
    with parquet.ParquetWriter(path, schema) as writer:
        for several in _several(cells):
            told = [{n: v if n in NUMBERS else _text(v) for n, v in row.items()} for row in several]
            writer.write_table(pyarrow.Table.from_pylist(told, schema=schema))


def _several(cells: Iterator[Cells]) -> Iterator[list[Cells]]:
    found: list[Cells] = []
    for row in cells:
        found.append(row)
        if len(found) == MANY:
            yield found
            found = []
    if found:
        yield found


def _text(value: Any) -> str:
    """A cell as text; what is no text as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
