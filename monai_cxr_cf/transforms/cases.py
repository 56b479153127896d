# SPDX-License-Identifier: Apache-2.0
"""A file, folder, datalist or manifest and the fields of a request in, one checked item an image.

The first thing a bundle does: what is wrong with the request is said before a network is loaded.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.rows.columns import Row as Planned
from monai_cxr_cf.batch.rows.columns import check_columns, read_row
from monai_cxr_cf.batch.rows.table import LINES, read_table
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.reading.series import find_images
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs.result import check_folder, refuse_early, refuse_words
from monai_cxr_cf.transforms.each import AGAIN, ASIDE, LISTING, ROW, Listing
from monai_cxr_cf.transforms.items import REQUEST, Item, cleaned, switch

Row = Mapping[str, Any]
TABLES = (".csv", ".csv.gz", *LINES, ".parquet")  # manifests
SHOWN = 5  # bad rows that are told
LISTED = ("testing", "inference")  # sections of a MONAI datalist that hold what is to be edited


def cases(
    source: str | Path,
    request: Row | None = None,
    *,
    output_dir: str | Path = "out",
    overwrite: bool | str = False,
) -> list[Item]:
    """Items with ``image`` (path), ``request`` and ``output`` (folder); none for an empty source.

    Args:
        source: a DICOM file, edited into ``output_dir`` itself; or a folder of DICOM files or a
            datalist (JSON), edited into ``output_dir/0001`` and on, in the order of paths or rows,
            never under the name of a source (``sources.json`` says which is which). A datalist is a
            list of rows, or holds one as ``testing``; a row is a path or ``{"image": path, ...}``
            with fields of a request, before those of ``request``; or a manifest, docs/batch.md 2.
        request: fields of ``request.schema.json``; empty ones count as not given.
        output_dir: where the output goes.
        overwrite: replace earlier outputs of ours; "false" as text is false. Without it a folder of
            outputs is only gone on with by the run that began it.

    Raises:
        BadRequest: a wrong request or row, or an output folder that must not be touched.
        UnreadableInput: no such file, no DICOM image, or a list that is none.
    """
    if not str(source or ""):
        return []
    if not str(output_dir or ""):
        raise BadRequest("No output folder is named.", hint="Give --output_dir DIR.")
    path, out, fields = Path(source), Path(output_dir), cleaned(request or {})
    again = switch("overwrite", overwrite)
    if path.is_dir() or path.name.lower().endswith((".json", *TABLES)):
        return _several(path, fields, out, again=again)
    check_folder(out, overwrite=again)
    return [_item({"image": str(path)}, fields, out, refuse_early)]


def _several(path: Path, fields: Row, out: Path, *, again: bool) -> list[Item]:
    """Items of a folder or a list; what a run of the same has finished in ``out`` is kept."""
    rows = _found(path) if path.is_dir() else _rows(path, fields)
    items, planned = [], list[Planned]()
    for number, row in enumerate(rows, 1):
        name, own = f"{number:04d}", _fields(row, fields)
        given = _below(path, row["image"])
        planned.append(Planned(number, name, str(row["image"]), given, own))
        item = _item(row, fields, out / name, refuse_words)
        items.append({**item, "listed": given, ROW: planned[-1], AGAIN: again})
    ours = frozenset((*(row.id for row in planned), LISTING, ASIDE))
    check_folder(out, overwrite=again or Listing(out).begun_with(planned), ours=ours)
    return items


def _below(source: Path, image: str) -> str:
    """The image as the listing names it: below the folder or the datalist's, else as given."""
    path, base = Path(image), source if source.is_dir() else source.parent
    return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()


def _fields(row: Row, fields: Row) -> dict[str, Any]:
    """The request of a row: its own fields before those of all."""
    own = cleaned({key: value for key, value in row.items() if key != "image"})
    # A row that names findings means them instead of the prompt, and the other way round.
    dropped = {"prompt": "findings", "findings": "prompt"}
    replaced = {dropped[name] for name in dropped if name in own}
    return {**{key: value for key, value in fields.items() if key not in replaced}, **own}


def _item(row: Row, fields: Row, output: Path, refuse: Callable[[EditRequest], None]) -> Item:
    request = from_json({**_fields(row, fields), "source": str(row["image"])})
    refuse(request)
    return {"image": str(row["image"]), REQUEST: request, "output": str(output)}


def _found(folder: Path) -> list[Row]:
    with withheld():
        return [{"image": str(path)} for path in find_images(folder)]


def _rows(path: Path, fields: Row) -> list[Row]:
    """The rows of a datalist or of a manifest; all bad ones of a manifest are counted at once."""
    if not path.name.lower().endswith(TABLES):
        return _listed(path)
    bad, rows = [], list[Row]()
    for number, cells in read_table(path):
        try:
            if isinstance(cells, str):
                raise BadRequest(cells)
            check_columns(cells)
            row = read_row(number, cells, path.parent, fields)
        except BadRequest as error:
            bad.append(f"row {number}: {error}")
        else:
            rows.append({"image": row.path, **row.request})
    if bad:
        raise BadRequest(
            f"{len(bad)} of {len(bad) + len(rows)} rows of the manifest cannot be run.",
            code="bad_rows",
            hint=" ".join(bad[:SHOWN]),
        )
    if not rows:
        raise UnreadableInput("The manifest holds no row.", hint="See docs/batch.md 2.")
    return rows


def _listed(path: Path) -> list[Row]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableInput(
            "The datalist is not a readable JSON file.", hint="Check --source."
        ) from error
    if isinstance(data, dict):
        data = next((data[name] for name in LISTED if name in data), None)
    if not isinstance(data, list) or not data:
        raise UnreadableInput(
            "The datalist holds no rows.",
            hint='Expected a list of rows, or one under "testing".',
        )
    return [_row(entry, path.parent) for entry in data]


def _row(entry: Any, folder: Path) -> Row:
    row = {"image": entry} if isinstance(entry, str) else entry
    if not isinstance(row, dict) or not isinstance(row.get("image"), str):
        raise BadRequest(
            "A row of the datalist names no image.",
            hint='Expected a path, or {"image": path, "prompt": words}.',
        )
    return {**row, "image": str(folder / row["image"])}
