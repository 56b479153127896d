# SPDX-License-Identifier: Apache-2.0
"""Samples into data folders, WebDataset shards or Parquet files."""

import csv
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any, Protocol

from monai_cxr_cf.batch.export.samples import ARMS, EDITED, REAL, Sample
from monai_cxr_cf.errors import INSTALL_EXTRA, ComponentMissing

COLUMNS = ("id", "arm", "patient", "view", "split", "labels", "text", "organ_mask")
TAR_SAMPLES = 1000
BATCH = 64
PICTURES = ("image", "organs", "edit")
SECTIONS = {"train": "training", "judge": "validation"}  # of a MONAI datalist


class Writer(Protocol):
    """Takes samples one by one."""

    def add(self, sample: Sample) -> None:
        """One more."""

    def close(self) -> None:
        """The last one came."""


class Folders:
    """A data folder an arm, as trainings read it: index.csv, images/, organ_masks/; datalist.json.

    ``duplicates`` and ``counterfactuals`` hold the real images, too, as links to the same bytes.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lists: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
        self._open: dict[str, tuple[Any, Any]] = {}
        for arm in ARMS:
            for name in ("images", "organ_masks", *(["edit_masks", "reports"] * (arm == EDITED))):
                (out / arm / name).mkdir(parents=True)
            stream = (out / arm / "index.csv").open("w", encoding="utf-8", newline="")
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            self._open[arm] = stream, writer

    def add(self, sample: Sample) -> None:
        """Into its arm; a real image into all of them."""
        image = self._out / sample.arm / "images" / f"{sample.id}.png"
        organs = self._out / sample.arm / "organ_masks" / f"{sample.id}.png"
        image.write_bytes(sample.image)
        organs.write_bytes(sample.organs)
        if sample.arm == EDITED:
            folder = self._out / EDITED
            (folder / "edit_masks" / f"{sample.id}.png").write_bytes(sample.edit)
            text = json.dumps(sample.record, indent=1, ensure_ascii=False)
            (folder / "reports" / f"{sample.id}.json").write_text(text, encoding="utf-8")
        for arm in ARMS if sample.arm == REAL else (sample.arm,):
            if arm != sample.arm:
                for path in (image, organs):
                    _link(path, self._out / arm / path.parent.name / path.name)
            self._open[arm][1].writerow(_cells(sample))
            self._lists[arm].append(_listed(sample))

    def close(self) -> None:
        """Close the tables, and write MONAI's lists."""
        for arm, (stream, _) in self._open.items():
            stream.close()
            lists: dict[str, list[dict[str, Any]]] = {}
            for entry in self._lists[arm]:
                lists.setdefault(SECTIONS.get(entry["split"], entry["split"]), []).append(entry)
            text = json.dumps(lists, indent=1, ensure_ascii=False)
            (self._out / arm / "datalist.json").write_text(text + "\n", encoding="utf-8")


class Tars:
    """WebDataset shards, ``ARM-SPLIT-000000.tar``: png, organs.png, edit.png, json a sample."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._open: dict[tuple[str, str], tarfile.TarFile] = {}
        self._count: dict[tuple[str, str], int] = {}

    def add(self, sample: Sample) -> None:
        """Into the shard of its arm and split."""
        key = sample.arm, sample.split
        count = self._count.get(key, 0)
        if count % TAR_SAMPLES == 0:
            if key in self._open:
                self._open[key].close()
            name = f"{sample.arm}-{sample.split}-{count // TAR_SAMPLES:06d}.tar"
            self._open[key] = tarfile.TarFile(self._out / name, "w", format=tarfile.USTAR_FORMAT)
        self._count[key] = count + 1
        told = {**_cells(sample), "labels": list(sample.labels), "record": dict(sample.record)}
        members = [("png", sample.image), ("organs.png", sample.organs)]
        members += [("edit.png", sample.edit)] if sample.edit else []
        members.append(("json", json.dumps(told, ensure_ascii=False).encode()))
        for ending, data in members:
            info = tarfile.TarInfo(f"{sample.id}.{ending}")
            info.size, info.mode = len(data), 0o644
            self._open[key].addfile(info, io.BytesIO(data))

    def close(self) -> None:
        """Close the shards."""
        for tar in self._open.values():
            tar.close()


class Parquets:
    """``ARM-SPLIT.parquet`` with the pictures inside; Hugging Face's ``datasets`` shows them."""

    def __init__(self, out: Path) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise ComponentMissing(
                "Parquet needs the package pyarrow; --to folder and --to webdataset do not.",
                hint=INSTALL_EXTRA.format("batch"),
            ) from error
        self._out, self._arrow, self._parquet = out, pyarrow, parquet
        self._open: dict[tuple[str, str], Any] = {}
        self._due: dict[tuple[str, str], list[dict[str, Any]]] = {}
        picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        text, several = pyarrow.string(), pyarrow.list_(pyarrow.string())
        kinds = dict.fromkeys(COLUMNS, text) | {"labels": several, "record": text}
        kinds |= dict.fromkeys(PICTURES, picture)
        self._schema = pyarrow.schema(list(kinds.items())).with_metadata(
            {"huggingface": json.dumps({"info": {"features": _features()}})}
        )

    def add(self, sample: Sample) -> None:
        """Into the file of its arm and split."""
        key = sample.arm, sample.split
        row = {**_cells(sample), "labels": list(sample.labels)}
        row["record"] = json.dumps(sample.record, ensure_ascii=False)
        for name in PICTURES:
            data = getattr(sample, name)
            path = f"{sample.id}.{name}.png"
            row[name] = {"bytes": data, "path": path} if data else None
        self._due.setdefault(key, []).append(row)
        if len(self._due[key]) >= BATCH:
            self._flush(key)

    def _flush(self, key: tuple[str, str]) -> None:
        if key not in self._open:
            path = self._out / f"{key[0]}-{key[1]}.parquet"
            self._open[key] = self._parquet.ParquetWriter(path, self._schema)
        table = self._arrow.Table.from_pylist(self._due[key], schema=self._schema)
        self._open[key].write_table(table)
        self._due[key] = []

    def close(self) -> None:
        """Write what is due, close the files."""
        for key in list(self._due):
            if self._due[key]:
                self._flush(key)
        for writer in self._open.values():
            writer.close()


def _features() -> dict[str, Any]:
    text = {"dtype": "string", "_type": "Value"}
    found: dict[str, Any] = dict.fromkeys((*COLUMNS, "record"), text)
    found["labels"] = {"feature": text, "_type": "List"}
    return {**found, **{name: {"_type": "Image"} for name in PICTURES}}


def _cells(sample: Sample) -> dict[str, Any]:
    plain = {name: getattr(sample, name) for name in COLUMNS}
    return {**plain, "labels": "|".join(sample.labels)}


def _listed(sample: Sample) -> dict[str, Any]:
    """A row of MONAI's list."""
    found = {"image": f"images/{sample.id}.png", "organs": f"organ_masks/{sample.id}.png"}
    if sample.edit:
        found["edit"] = f"edit_masks/{sample.id}.png"
    return {**found, "label": list(sample.labels), "split": sample.split, "arm": sample.arm}


def _link(path: Path, other: Path) -> None:
    """The same bytes under another name; a copy where the disk has no links."""
    try:
        os.link(path, other)
    except OSError:
        other.write_bytes(path.read_bytes())
