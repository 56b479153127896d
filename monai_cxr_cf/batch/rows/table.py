# SPDX-License-Identifier: Apache-2.0
"""A manifest file in, its rows out one by one: CSV, JSON lines or Parquet, never read whole.

Numbers count rows of data from 1. A CSV has commas, UTF-8 (or UTF-16 with its mark), one row of
names; it may be packed with gzip.
"""

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from monai_cxr_cf.batch.rows.columns import ELSEWHERE
from monai_cxr_cf.data.csv_text import GZIP, MARKS, check_names
from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, UnreadableInput

Cells = dict[str, Any]
LINES = (".jsonl", ".ndjson")
KINDS = "Expected .csv, .csv.gz, .jsonl or .parquet."


def read_table(path: Path) -> Iterator[tuple[int, Cells | str]]:
    """Number and cells of every row; a sentence instead of cells where the row is none.

    Raises:
        UnreadableInput: no such file, or it is not what its name says.
        BadRequest: a name of another kind.
        ComponentMissing: Parquet without pyarrow.
    """
    if not path.is_file():
        raise UnreadableInput("The manifest does not exist; expected a file.", code="no_file",
                              hint=KINDS)  # fmt: skip
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return _csv(path)
    if name.endswith(LINES):
        return _json_lines(path)
    if name.endswith(".parquet"):
        return _parquet(path)
    raise BadRequest(f"A manifest of the kind '{path.suffix}' is not read.", hint=KINDS)


def _csv(path: Path) -> Iterator[tuple[int, Cells | str]]:
    try:
        csv.field_size_limit(sys.maxsize)
        with _text(path) as stream:
            reader = csv.reader(stream, strict=True)
            names = [name.strip() for name in next(reader, [])]
            check_names(path.name, names, _needed(names))
            number = 0
            for cells in reader:
                if not any(cells):
                    continue
                number += 1
                if len(cells) != len(names):
                    yield number, f"It has {len(cells)} cells; expected {len(names)}."
                    continue
                yield number, dict(zip(names, map(str.strip, cells), strict=True))
    except (csv.Error, UnicodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableInput(
            f"{path.name} is no CSV in UTF-8.", hint="Save it as CSV with commas in UTF-8."
        ) from error


def _needed(names: list[str]) -> set[str]:
    """Columns that name the source."""
    return set(ELSEWHERE) if "study" in names and "path" not in names else {"path"}


def _text(path: Path) -> IO[str]:
    """The file as text, unpacked if it is packed."""
    with path.open("rb") as file:
        unpack: Any = gzip.open if file.read(2) == GZIP else Path.open
    with unpack(path, "rb") as stream:
        head = stream.read(3)
    coding = next((name for mark, name in MARKS.items() if head.startswith(mark)), "utf-8")
    return io.TextIOWrapper(unpack(path, "rb"), encoding=coding, newline="")


def _json_lines(path: Path) -> Iterator[tuple[int, Cells | str]]:
    number = 0
    with path.open("rb") as stream:
        for line in stream:
            if not line.strip():
                continue
            number += 1
            try:
                cells = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError):
                yield number, "The line is not JSON."
                continue
            if not isinstance(cells, dict):
                yield number, "The line is no JSON object."
                continue
            yield number, {key: value for key, value in cells.items() if value is not None}


def _parquet(path: Path) -> Iterator[tuple[int, Cells | str]]:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ModuleNotFoundError as error:
        raise ComponentMissing(
            "Parquet needs the package pyarrow.", hint=INSTALL_EXTRA.format("batch")
        ) from error
    try:
        file = parquet.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise UnreadableInput(f"{path.name} is no Parquet file.", hint="Write it again.") from error
    names = list(file.schema_arrow.names)
    check_names(path.name, names, _needed(names))
    number = 0
    for batch in file.iter_batches(1024):
        for row in batch.to_pylist():
            number += 1
            yield number, {key: value for key, value in row.items() if value is not None}
