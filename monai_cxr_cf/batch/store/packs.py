# SPDX-License-Identifier: Apache-2.0
"""The finished rows of a shard in one file: a tar for WebDataset, or a Parquet file.

Rows are committed as folders below ``rows/NNNNN/``. When the last row of the shard is over they go
into ``packs/NNNNN.tar`` or ``.parquet``, which appears whole; then the folders go. A stop between
leaves both: the pack counts. Rows that are done later make the pack anew, in the plan's order.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.store.files import make_folders, remove, sync_folder
from monai_cxr_cf.batch.store.results import DONE, Line, histories, read_lines
from monai_cxr_cf.batch.store.run_folder import FOLDERS, RunFolder
from monai_cxr_cf.errors import INSTALL_EXTRA, ComponentMissing, CxrError

TAR, PARQUET = "tar", "parquet"
KINDS = (FOLDERS, TAR, PARQUET)
PICTURES, REPORT = "png/", "report.json"  # of a row's files: what a Parquet file shows
Files = dict[str, bytes]  # by path within the row, with "/"


def is_due(folder: RunFolder, number: int) -> bool:
    """Whether a shard has rows that are not packed yet."""
    return folder.output != FOLDERS and folder.loose(number).is_dir()


def pack(folder: RunFolder, number: int) -> None:
    """Pack the finished rows of a shard; its holder calls it when its last row is over."""
    if not is_due(folder, number):
        return
    path, old = folder.pack(number), _reader(folder, number)
    part = path.with_name(f".{path.name}.part")
    make_folders(path.parent)
    try:
        writer = _Tar(part) if folder.output == TAR else _Parquet(part)
        for row, line in _done(folder, number):
            files = old(line["key"]) or _read(folder.row(line["key"], number))
            if files:
                writer.add(row, line, files)
        writer.close()
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
    remove(folder.loose(number))


@contextmanager
def row_files(folder: RunFolder, number: int, key: str) -> Iterator[Path]:
    """A folder with the files of a finished row, unpacked if need be; absent if it is lost."""
    place = folder.row(key, number)
    files = {} if folder.output == FOLDERS or place.is_dir() else _reader(folder, number)(key)
    if not files:
        yield place
        return
    with TemporaryDirectory() as temporary:
        for name, data in files.items():
            path = Path(temporary, key, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield Path(temporary, key)


def check_kind(kind: str) -> None:
    """ComponentMissing if a kind of packs cannot be written here."""
    if kind == PARQUET:
        _arrow()


def _done(folder: RunFolder, number: int) -> Iterator[tuple[Row, Line]]:
    """The finished rows in the plan's order."""
    known = histories(read_lines(folder.results(number)))
    for row in folder.read_plan(number):
        last = known[row.number].last if row.number in known else {}
        if last.get("state") == DONE:
            yield row, last


def _read(place: Path) -> Files:
    paths = sorted(path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}


def _reader(folder: RunFolder, number: int) -> Any:
    """Key -> the files of a row in the shard's pack; none where it is not in it."""
    path = folder.pack(number)
    if not path.is_file():
        return lambda key: {}
    return (_from_tar if folder.output == TAR else _from_parquet)(path)


class _Writer(Protocol):
    def add(self, row: Row, line: Line, files: Files) -> None: ...

    def close(self) -> None: ...


class _Tar:
    """``KEY.cf.0001.dcm``, ``KEY.report.json``, ...: a sample a key, without times or owners."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.TarFile(path, "w", format=tarfile.PAX_FORMAT)
        self._keys: set[str] = set()

    def add(self, row: Row, line: Line, files: Files) -> None:
        if line["key"] in self._keys:  # two rows ask for the same
            return
        self._keys.add(line["key"])
        for name, data in files.items():
            member = name.replace("/", ".")
            if _unfolded(member) != name:
                raise CxrError("A file of a row has a name that a tar of samples cannot hold.")
            info = tarfile.TarInfo(f"{line['key']}.{member}")
            info.size, info.mode = len(data), 0o644
            self._tar.addfile(info, io.BytesIO(data))

    def close(self) -> None:
        self._tar.close()


def _unfolded(member: str) -> str:
    """``cf.0001.dcm`` -> ``cf/0001.dcm``."""
    *folders, name, ending = ["", *member.split(".")]
    return "/".join([*filter(None, folders), f"{name}.{ending}" if name else ending])


def _from_tar(path: Path) -> Any:
    def read(key: str) -> Files:
        found: Files = {}
        with tarfile.open(path) as tar:
            for member in tar:
                owner, _, name = member.name.partition(".")
                stream = tar.extractfile(member) if owner == key else None
                if stream is not None:
                    found[_unfolded(name)] = stream.read()
        return found

    return read


class _Parquet:
    """A line a row: what it is, its PNG pictures, its report, and every other file."""

    def __init__(self, path: Path) -> None:
        self._arrow, parquet = _arrow()
        text, data = self._arrow.string(), self._arrow.binary()
        file = self._arrow.struct([("bytes", data), ("path", text)])  # as datasets has it
        kinds = dict.fromkeys(("id", "key", "verdict", "request", "patient", "group"), text)
        kinds = {"number": self._arrow.int64(), **kinds, "images": self._arrow.list_(file)}
        kinds |= {"report": text, "files": self._arrow.list_(file)}
        self._schema = self._arrow.schema(list(kinds.items())).with_metadata(
            {"huggingface": json.dumps({"info": {"features": _features(list(kinds))}})}
        )
        self._writer = parquet.ParquetWriter(path, self._schema)

    def add(self, row: Row, line: Line, files: Files) -> None:
        listed = [{"path": name, "bytes": data} for name, data in files.items() if name != REPORT]
        told = {"number": row.number, "verdict": line.get("verdict"), "key": line["key"]}
        told |= {name: getattr(row, name) for name in ("id", "patient", "group")}
        told |= {
            "request": json.dumps(row.request, sort_keys=True, ensure_ascii=False),
            "report": files[REPORT].decode("utf-8") if REPORT in files else None,
            "images": [file for file in listed if str(file["path"]).startswith(PICTURES)],
            "files": [file for file in listed if not str(file["path"]).startswith(PICTURES)],
        }
        self._writer.write_table(self._arrow.Table.from_pylist([told], schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _from_parquet(path: Path) -> Any:
    _, parquet = _arrow()

    def read(key: str) -> Files:
        found: Files = {}
        for row in parquet.read_table(path, filters=[("key", "=", key)]).to_pylist():
            found |= {file["path"]: file["bytes"] for file in (*row["images"], *row["files"])}
            found |= {} if row["report"] is None else {REPORT: row["report"].encode()}
        return found

    return read


def _features(names: list[str]) -> Mapping[str, Any]:
    """The columns as Hugging Face's ``datasets`` names them."""
    text = {"dtype": "string", "_type": "Value"}
    file = {"bytes": {"dtype": "binary", "_type": "Value"}, "path": text}
    special = {
        "number": {"dtype": "int64", "_type": "Value"},
        "images": {"feature": {"_type": "Image"}, "_type": "List"},
        "files": {"feature": file, "_type": "List"},
    }
    return {name: special.get(name, text) for name in names}


def _arrow() -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ComponentMissing(
            "Parquet needs the package pyarrow; --output tar does not.",
            hint=INSTALL_EXTRA.format("batch"),
        ) from error
    return pyarrow, parquet
