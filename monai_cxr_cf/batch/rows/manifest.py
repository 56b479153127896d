# SPDX-License-Identifier: Apache-2.0
"""A manifest in, checked whole before anything runs; every bad row is listed.

The checked rows go to a file aside, one JSON line each; in memory stay a hundred bytes a row or
two, however long the rows are.
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO, Any

from monai_cxr_cf.batch.rows.columns import Row, check_columns, read_row, row_of
from monai_cxr_cf.batch.rows.table import read_table
from monai_cxr_cf.errors import BadRequest

SHORT = 8  # bytes of a digest that tell rows apart


@dataclass(frozen=True)
class Bad:
    """A row that cannot be run."""

    number: int
    message: str


@dataclass
class Checked:
    """The rows of a manifest that can be run."""

    sha256: str  # of the file
    stream: IO[bytes]  # the rows, a line each
    columns: tuple[str, ...] = ()
    bad: list[Bad] = field(default_factory=list)
    places: "array[int]" = field(default_factory=lambda: array("q"))  # of the lines
    sources: "array[int]" = field(default_factory=lambda: array("q"))  # radiograph by first number
    patients: "array[int]" = field(default_factory=lambda: array("q"))  # likewise
    known: int = 0  # rows that were planned before

    def __len__(self) -> int:
        return len(self.places)

    def row(self, index: int) -> Row:
        """The row that was kept as number ``index``."""
        self.stream.seek(self.places[index])
        return row_of(self.stream.readline())


@dataclass
class Planned:
    """What a folder holds already: identifiers, and rows as they were."""

    ids: set[bytes] = field(default_factory=set)
    rows: set[bytes] = field(default_factory=set)

    def add(self, row: Row) -> None:
        """Take note of a row."""
        self.ids.add(_short(row.id))
        self.rows.add(_short(row.id + row.digest))


def file_sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def check_manifest(
    path: Path,
    stream: IO[bytes],
    *,
    common: Mapping[str, Any] | None = None,
    planned: Planned | None = None,
) -> Checked:
    """Read and check every row.

    Args:
        path: the manifest; relative paths in it start at its folder.
        stream: takes the new rows; open for reading and writing, empty.
        common: fields that a row has unless it says otherwise.
        planned: rows that a folder holds; all must be there, unchanged.

    Raises:
        UnreadableInput, BadRequest: the file as a whole is no manifest; it lacks planned rows.
    """
    planned = planned or Planned()
    table, found = read_table(path), Checked(file_sha256(path), stream)  # or says there is none
    groups: dict[bytes, int] = {}
    columns: dict[str, None] = {}
    seen: set[bytes] = set()
    for number, cells in table:
        if isinstance(cells, str):
            found.bad.append(Bad(number, cells))
            continue
        new = [name for name in cells if name not in columns]
        check_columns(new)
        columns |= dict.fromkeys(new)
        try:
            row = read_row(number, cells, path.parent.absolute(), common or {})
            _check_id(row, seen, planned, named=bool(cells.get("id")))
        except BadRequest as error:
            found.bad.append(Bad(number, str(error)))
        else:
            _keep(found, row, groups, known=_short(row.id) in planned.ids)
    found.columns = tuple(columns)
    _check_whole(found, planned)
    return found


def _check_id(row: Row, seen: set[bytes], planned: Planned, *, named: bool) -> None:
    """BadRequest for an identifier that stands twice, or stood for something else."""
    short = _short(row.id)
    if short in seen and named:
        raise BadRequest("Its 'id' stands in an earlier row; expected one row an id.")
    if short in seen:
        raise BadRequest("It repeats an earlier row; expected every edit once.")
    seen.add(short)
    if short in planned.ids and _short(row.id + row.digest) not in planned.rows:
        raise BadRequest("It was planned with other cells; give what is new an id of its own.")


def _keep(found: Checked, row: Row, groups: dict[bytes, int], *, known: bool) -> None:
    """Write a new row aside; count one that is known."""
    if known:
        found.known += 1
        return
    found.places.append(found.stream.tell())
    found.stream.write(row.line().encode() + b"\n")
    source = _short("source " + row.path)
    patient = _short("patient " + row.patient) if row.patient else source
    found.sources.append(groups.setdefault(source, row.number))
    found.patients.append(groups.setdefault(patient, row.number))


def _check_whole(found: Checked, planned: Planned) -> None:
    lost = len(planned.ids) - found.known - len(found.bad)
    if lost > 0:
        raise BadRequest(
            f"The manifest lacks {lost} rows that this folder was planned with.",
            code="other_manifest",
            hint="A longer manifest goes on; for other rows name another --out.",
        )
    if not len(found) and not found.known and not found.bad:
        raise BadRequest("The manifest holds no row.", hint="Make one: cxr-cf batch plan --help.")


def in_order(found: Checked) -> Iterator[Row]:
    """The rows by patient, radiograph and number: what shares a radiograph follows each other."""

    def rank(index: int) -> tuple[int, int, int]:
        return found.patients[index], found.sources[index], index

    for index in sorted(range(len(found)), key=rank):
        yield found.row(index)


def _short(text: str) -> bytes:
    return sha256(text.encode()).digest()[:SHORT]
