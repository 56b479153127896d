# SPDX-License-Identifier: Apache-2.0
"""Images and labels under ids for MONAI Label clients: a local folder, and a DICOMweb store.

The local folder is laid out as MONAI Label's own: ``ID.ext`` and ``labels/TAG/ID.ext``. Images of
the DICOM store go by their Series Instance UID; labels for them stay in the folder.
"""

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from monai_cxr_cf.errors import BadRequest, ResourceExhausted, UnsupportedImage
from monai_cxr_cf.server.monailabel.volumes import SUFFIXES
from monai_cxr_cf.server.refusals import Conflict, NotFound

if TYPE_CHECKING:
    from monai_cxr_cf.dicom.store.pacs import Pacs

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TAG = re.compile(r"[A-Za-z0-9_-]{1,32}")
FINAL = "final"
REMOTE_S = 30.0  # so long a listing of the DICOM store is believed


@dataclass(frozen=True)
class ImageEntry:
    """One image that can be asked for."""

    id: str
    suffix: str
    stored: float  # seconds since 1970; 0 for the DICOM store
    path: Path | None  # None: it lies in the DICOM store
    study: str = ""


@dataclass
class Datastore:
    """Images and labels.

    Args:
        folder: the local folder; made with mode 0700 if it is not there.
        pacs: the DICOM store; None for none.
        most: bytes that images and labels may take together.
    """

    folder: Path
    pacs: "Pacs | None" = None
    most: int = 20_000_000_000
    _remote: tuple[float, dict[str, ImageEntry]] = field(default=(0.0, {}), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def images(self) -> dict[str, ImageEntry]:
        """Every image by its id, in order of the ids; those of the folder come first."""
        local = {entry.id: entry for entry in self._local()}
        return {**local, **{k: v for k, v in self._listed().items() if k not in local}}

    def image(self, name: str) -> ImageEntry:
        """The image of an id; NotFound if there is none."""
        check_id(name)
        for entry in self._local():
            if entry.id == name:
                return entry
        found = self._listed().get(name)
        if found is None:
            raise NotFound("There is no image of that id.", hint="GET /datastore/?output=all")
        return found

    def copy(self, entry: ImageEntry, target: Path) -> None:
        """Write the image to a new file.

        Raises:
            UnsupportedImage: a series of the DICOM store with more or less than one image.
            RemoteFailure: the DICOM store fails.
        """
        if entry.path is not None:
            shutil.copyfile(entry.path, target)
            return
        if self.pacs is None:
            raise NotFound("There is no image of that id.")
        found = self.pacs.find(study=entry.study, series=entry.id)
        if len(found) != 1:
            raise UnsupportedImage(
                f"The series holds {len(found)} images; expected one radiograph.",
                code="several_images",
                hint="Submit the instance you mean with POST /v1/jobs.",
            )
        self.pacs.fetch(entry.study, entry.id, found[0].instance, target)

    def add(self, name: str | None, file: Path, suffix: str) -> str:
        """Take a file in under an id, or a new id; the file is moved. Returns the id.

        Raises:
            BadRequest: not an id.
            Conflict: another image has this id.
        """
        name = name or uuid4().hex
        check_id(name)
        with self._lock:
            self._room(file.stat().st_size)
            for entry in self._local():
                if entry.id == name and entry.path is not None:
                    if _same(entry.path, file):
                        return name
                    raise Conflict("Another image has this id.", hint="Choose another id.")
            os.replace(file, self.folder / f"{name}{suffix}")
        return name

    def add_label(self, image: str, tag: str, file: Path, suffix: str) -> str:
        """Take a label map of an image in, in place of an earlier one; returns its id."""
        entry = self.image(image)
        folder = self.folder / "labels" / check_tag(tag)
        with self._lock:
            self._room(file.stat().st_size)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for earlier in _files(folder, entry.id):
                earlier.unlink()
            os.replace(file, folder / f"{entry.id}{suffix}")
        return entry.id

    def label(self, name: str, tag: str) -> Path:
        """The file of a label; NotFound if there is none."""
        check_id(name)
        found = next(_files(self.folder / "labels" / check_tag(tag), name), None)
        if found is None:
            raise NotFound("There is no such label.", hint="GET /datastore/?output=all")
        return found

    def labels(self) -> dict[str, dict[str, Path]]:
        """Image id -> tag -> label file."""
        found: dict[str, dict[str, Path]] = {}
        top = self.folder / "labels"
        for folder in sorted(top.iterdir()) if top.is_dir() else []:
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                stem, suffix = _split(path.name)
                if suffix and TAG.fullmatch(folder.name):
                    found.setdefault(stem, {})[folder.name] = path
        return found

    def unlabelled(self) -> list[str]:
        """Ids of images without a final label."""
        done = {name for name, tags in self.labels().items() if FINAL in tags}
        return [name for name in self.images() if name not in done]

    def status(self) -> dict[str, Any]:
        """How many images, how many are labelled, how many labels of each tag."""
        labels, images = self.labels(), self.images()
        tags: dict[str, int] = {}
        for of_image in labels.values():
            for tag in of_image:
                tags[tag] = tags.get(tag, 0) + 1
        completed = sum(1 for name, of_image in labels.items() if FINAL in of_image)
        return {"total": len(images), "completed": completed, "label_tags": tags}

    def listing(self) -> dict[str, Any]:
        """Everything, shaped as MONAI Label's ``datastore_v2.json``."""
        labels = self.labels()
        objects = {
            name: {
                "image": {"ext": entry.suffix, "info": {"ts": int(entry.stored), "name": name}},
                "labels": {
                    tag: {"ext": _split(path.name)[1], "info": {"ts": int(path.stat().st_mtime)}}
                    for tag, path in labels.get(name, {}).items()
                },
            }
            for name, entry in self.images().items()
        }
        about = {"name": "cxr-cf", "description": "Chest radiographs and organ masks"}
        return {**about, "images_dir": ".", "labels_dir": "labels", "objects": objects}

    def pairs(self) -> list[dict[str, str]]:
        """Images with a final label, both by id."""
        return [{"image": n, "label": n} for n, tags in self.labels().items() if FINAL in tags]

    def _local(self) -> Iterator[ImageEntry]:
        for path in sorted(self.folder.iterdir()):
            stem, suffix = _split(path.name)
            if suffix and ID.fullmatch(stem) and path.is_file() and not path.is_symlink():
                yield ImageEntry(stem, suffix, path.stat().st_mtime, path)

    def _listed(self) -> Mapping[str, ImageEntry]:
        """What the DICOM store holds; asked again after a while."""
        if self.pacs is None:
            return {}
        until, found = self._remote
        if time.monotonic() >= until:
            series = self.pacs.find_series()
            found = {
                s.series: ImageEntry(s.series, ".dcm", 0.0, None, s.study)
                for s in sorted(series, key=lambda s: s.series)
                if ID.fullmatch(s.series)
            }
            self._remote = (time.monotonic() + REMOTE_S, found)
        return found

    def _room(self, size: int) -> None:
        stored = sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file())
        if stored + size > self.most:
            raise ResourceExhausted(
                f"{stored / 1e9:.1f} GB of images and labels are stored; that is the limit.",
                hint="Remove some from the folder of the server.",
            )


def check_id(text: str) -> str:
    """An id, never a path; BadRequest if it is none."""
    if not ID.fullmatch(text) or ".." in text:
        raise BadRequest(
            "An image id holds letters, digits, points, hyphens and underscores, at most 128.",
            code="image_id",
            hint="It is a name, not a path.",
        )
    return text


def check_tag(text: str) -> str:
    """The tag of a label; BadRequest if it is none."""
    if not TAG.fullmatch(text):
        raise BadRequest("A tag holds letters, digits, hyphens and underscores.", code="tag")
    return text


def checksum(path: Path) -> str:
    """As Slicer's module compares it: ``SHA256:...``."""
    with path.open("rb") as stream:
        return f"SHA256:{file_digest(stream, 'sha256').hexdigest()}"


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """A small JSON file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data))
    os.replace(part, path)


def _split(name: str) -> tuple[str, str]:
    suffix = next((s for s in SUFFIXES if name.endswith(s)), "")
    return (name[: -len(suffix)], suffix) if suffix else (name, "")


def _files(folder: Path, name: str) -> Iterator[Path]:
    return (f for f in (folder / f"{name}{s}" for s in SUFFIXES) if f.is_file())


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and checksum(one) == checksum(other)
