# SPDX-License-Identifier: Apache-2.0
"""Files, folders, archives, a store or a collection in; out: every radiograph with every edit.

An edit is a prompt, or a cell of the grid, or both.
"""

import csv
import glob
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from monai_cxr_cf.batch.rows.columns import (
    FINDING,
    check_columns,
    checked,
    fields,
    is_remote,
    request_of,
)
from monai_cxr_cf.batch.rows.table import LINES
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.errors import BadRequest, UnreadableInput

if TYPE_CHECKING:
    from monai_cxr_cf.data.table import Wanted

Cells = dict[str, str]
RASTER = {"reading.allow_raster": "true"}


@dataclass(frozen=True)
class Source:
    """A radiograph that was chosen."""

    path: str
    cells: Mapping[str, str]  # patient, group and what else is known of it


def edits(prompts: Sequence[str], grid: str, common: Mapping[str, str]) -> list[Cells]:
    """The cells of every edit; BadRequest for one that is no request.

    Args:
        prompts: texts; none where the grid names findings.
        grid: "finding=edema|cardiomegaly,severity=0.3|0.7": every value with every other.
        common: columns that are the same in every row.
    """
    axes = _axes(grid)
    names = {*axes, *common, *(["prompt"] if prompts else [])}
    check_columns(names)
    unknown = sorted(name for name in names if not _is_field(name))
    if unknown:
        raise BadRequest(
            f"'{unknown[0]}' is no field of a request.",
            hint=f"Such as {', '.join([*FINDING, 'seeds', 'strength', 'preset'])}.",
        )
    found = []
    for prompt in prompts or [""]:
        for values in itertools.product(*axes.values()):
            cells = {"prompt": prompt} if prompt else {}
            cells |= dict(zip(axes, values, strict=True))
            checked(json.dumps(request_of({**common, **cells}), sort_keys=True))
            found.append({**cells, **common})
    return found


def sources(
    words: Sequence[str], packed: Path | None = None, date: str | None = None
) -> Iterator[Source]:
    """The radiographs that files, folders, globs, zip files, DICOMDIRs and stores name, each once.

    Args:
        words: as a user gives them; http and https: the root of a DICOMweb store.
        packed: a folder for what zip files hold, made if there is one; None: local images alone.
        date: of the studies of a store.

    Raises:
        UnreadableInput: a word names nothing, or what holds no image.
    """
    seen: set[str] = set()
    for number, word in enumerate(words):
        if packed is not None and is_remote(word):
            yield from _of_store(word, date, f"{number + 1}." if len(words) > 1 else "")
            continue
        paths = [word] if Path(word).exists() else sorted(glob.glob(word, recursive=True))
        if not paths:
            raise UnreadableInput(
                "A source to plan with does not exist; expected files, folders or globs.",
                code="no_file",
                hint="Check the path.",
            )
        for place, path in enumerate(map(Path, paths)):
            group = f"{number + 1}." if len(words) > 1 else ""
            group += f"{place + 1}." if len(paths) > 1 else ""
            for image, patient in _images(path, packed and packed / f"{number + 1}-{place + 1}"):
                if str(image) not in seen:
                    seen.add(str(image))
                    yield Source(str(image), {"patient": group + patient} if patient else {})


def _images(path: Path, packed: Path | None) -> list[tuple[Path, str]]:
    """The images that a path stands for, with words for their patients."""
    from monai_cxr_cf.dicom.reading.archive import is_dicomdir, listed, unpack
    from monai_cxr_cf.dicom.reading.series import find_by_patient

    with withheld():
        if path.is_dir():
            return find_by_patient(path)
        if packed is not None and is_zipfile(path):
            unpack(path, packed)
            return find_by_patient(packed)
        if is_dicomdir(path):
            return find_by_patient(path.parent, listed(path))
    return [(path, "")]


def _of_store(url: str, date: str | None, group: str) -> Iterator[Source]:
    from monai_cxr_cf.dicom.store.survey import Survey

    found = Survey(url).images(date)
    if not found:
        raise UnreadableInput("The store has no CR or DX image that fits.", code="no_image",
                              hint="Look: cxr-cf pacs find URL.")  # fmt: skip
    for image, patient in found:
        uids = {"study": image.study, "series": image.series, "instance": image.instance}
        yield Source("", {"pacs": url, **uids, "patient": group + patient})


def collection(
    folder: Path, layout: str, asked: "Wanted", splits: Sequence[str]
) -> tuple[list[Source], list[str]]:
    """The radiographs of a data set in a known layout, and what was left out, in words.

    Patient, split (as ``group``), view, caption and, where the layout has them, labels go along.
    """
    from monai_cxr_cf.data.captioned import survey
    from monai_cxr_cf.data.folder import read_index

    rows, counts = survey(layout, folder, asked)
    known = read_index(folder) if layout == "folder" else []
    labels = {row.id: "|".join(row.labels) for row in known}
    found = []
    for row in rows:
        if splits and row.split not in splits:
            continue
        cells = {"source_id": row.id, "patient": row.patient, "group": row.split}
        cells |= {"view": row.view, "caption": row.prompt}
        if row.id in labels:
            cells["labels"] = labels[row.id]
        if Path(row.image).suffix.lower() != ".dcm":
            cells |= RASTER
        found.append(Source(str(folder / row.image), cells))
    if not found:
        raise BadRequest(
            f"The collection has no radiograph in {', '.join(splits)}.", hint="See --splits."
        )
    return found, list(counts.lines())


def check_manifest_name(path: Path) -> None:
    """BadRequest for a name of another kind, or a file that is there."""
    if not path.name.lower().endswith((".csv", *LINES)):
        raise BadRequest(f"'{path.name}' is no name for a manifest.", hint="Such as manifest.csv.")
    if path.exists():
        raise BadRequest(f"The file '{path.name}' is there already.", hint="Name another --out.")


def write_manifest(path: Path, chosen: Sequence[Source], asked: Sequence[Cells]) -> int:
    """Every source with every edit; returns how many rows. CSV or JSON lines, by the name.

    Raises:
        BadRequest: a name of another kind, or a file that is there.
    """
    check_manifest_name(path)
    name = path.name.lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    base, part = path.parent.absolute(), path.with_name(f".{path.name}.part")
    rows = [
        {"path": _shown(source.path, base), **edit, **source.cells}
        for source in chosen
        for edit in asked
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with part.open("w", encoding="utf-8", newline="") as stream:
        if name.endswith(".csv"):
            writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            for row in rows:
                stream.write(json.dumps(_typed(row), ensure_ascii=False) + "\n")
    part.replace(path)
    return len(rows)


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """Cells as JSON values where their field wants other than text."""
    return {
        name: request_of({name: value}).get(name, value) if name in fields() else value
        for name, value in row.items()
    }


def _axes(grid: str) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in grid.split(","))):
        name, sign, values = part.partition("=")
        each = [value.strip() for value in values.split("|") if value.strip()]
        if not sign or not each:
            raise BadRequest(
                f"'{part[:40]}' in --grid is no NAME=VALUE|VALUE.",
                hint="Such as finding=edema|cardiomegaly,severity=0.3|0.7,seeds=1|2.",
            )
        axes["seeds" if name.strip() == "seed" else name.strip()] = each
    return axes


def _is_field(name: str) -> bool:
    known = (*FINDING, *fields())
    return name in known or name.partition(".")[0] in ("reading", "overrides")


def _shown(path: str, base: Path) -> str:
    """Relative to the manifest where it lies below it."""
    whole = Path(path).absolute()
    if not path:
        return ""  # in a store
    return os.fspath(whole.relative_to(base) if whole.is_relative_to(base) else whole)
