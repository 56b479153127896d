# SPDX-License-Identifier: Apache-2.0
"""A CSV file as it lies on a disk in, its rows out; what is wrong with it in one sentence.

Read are UTF-8 and UTF-16 with or without a byte order mark (a UTF-16 file needs one), packed with
gzip or not, whatever the name says. Commas separate; semicolons, tabs, spreadsheets and rows of
another length are refused, since a guess could shift labels from one image to the next.
"""

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from monai_cxr_cf.errors import UnreadableInput

GZIP, ZIP, OLE = b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
EMPTY = frozenset(("", "nan", "none", "null", "na", "n/a", "<na>"))  # as tables tools write "none"
AS_PUBLISHED = "Use the file as published, or save it as CSV with commas in UTF-8."


def filled(cell: str) -> str:
    """The cell, or "" where it holds another word for nothing."""
    return "" if cell.strip().casefold() in EMPTY else cell.strip()


def read_rows(path: Path, columns: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows of ``path`` with white space around cells and names of columns removed.

    Raises:
        UnreadableInput: it is no such CSV, lacks one of ``columns``, or a row has another length.
    """
    try:
        csv.field_size_limit(sys.maxsize)  # a report may be longer than the module's 131,072
        reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
        names = [name.strip() for name in next(reader, [])]
        check_names(path.name, names, set(columns))
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(names):
                raise _wrong(
                    path.name,
                    f"has {len(cells)} cells in line {reader.line_num} and {len(names)} columns",
                )
            yield dict(zip(names, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise _wrong(path.name, f"is no CSV: {error}") from error


def read_report(path: Path) -> str:
    """A report's text, in UTF-8 or, with a byte order mark, UTF-16; strange bytes are replaced.

    Raises:
        UnreadableInput: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _wrong(path.name, f"cannot be read ({error.strerror})", "Copy it again.") from error
    coding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    return data.decode(coding, errors="replace")


def _text(path: Path) -> str:
    """The decoded text of the file."""
    data = path.read_bytes()
    if data.startswith(GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise _wrong(path.name, "is packed and damaged", "Copy it again.") from error
    if data.startswith((ZIP, OLE)):
        raise _wrong(path.name, "is a spreadsheet or an archive")
    coding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(coding)
    except UnicodeError as error:
        raise _wrong(path.name, "is neither UTF-8 nor UTF-16 with a byte order mark") from error
    if "\0" in text:
        raise _wrong(path.name, "holds zero bytes: UTF-16 without a byte order mark, or no text")
    return text


def check_names(file: str, names: list[str], wanted: set[str]) -> None:
    """UnreadableInput if a table's first row lacks a wanted name, or holds one twice."""
    if not any(names):
        raise _wrong(file, "is empty")
    missing = sorted(wanted - set(names))
    for sign, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if missing and any(sign in name for name in names):
            raise _wrong(file, f"is separated by {word}; expected commas")
    if missing:
        shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        raise _wrong(file, f"lacks the columns {', '.join(missing)}; it has {shown}")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise _wrong(file, f"has the column {twice[0]} twice")


def _wrong(file: str, what: str, hint: str = AS_PUBLISHED) -> UnreadableInput:
    return UnreadableInput(f"{file} {what}.", hint=hint)
