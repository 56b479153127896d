# SPDX-License-Identifier: Apache-2.0
"""A folder of radiographs in, those that are audited out: one a patient, chosen by a hash.

With an index.csv (docs/evaluation.md 1) labels, view, sex and age come along; without, the folder
holds DICOM files, or pictures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from monai_cxr_cf.batch.choose import sources
from monai_cxr_cf.data.folder import Row, image_of, read_index
from monai_cxr_cf.data.views import projection
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import lookup

VIEWS = ("PA", "AP")
HEALTHY = ("no finding", "normal")


@dataclass(frozen=True)
class Chosen:
    """A radiograph that is audited."""

    id: str
    path: str
    patient: str
    group: Mapping[str, str] = field(default_factory=dict)  # view, sex, age, site
    labels: tuple[str, ...] = ()  # (): nobody knows

    @property
    def reading(self) -> ReadOptions:
        """DICOM strictly; pictures as what they are."""
        return ReadOptions(allow_raster=Path(self.path).suffix.lower() != ".dcm")

    def shows(self, finding: str) -> bool | None:
        """Whether the labels say that it shows a finding; None without labels."""
        if not self.labels:
            return None
        found = (lookup(label.replace("_", " ")) for label in self.labels)
        return finding in {each.name for each in found if each}

    def truth(self, labels: Sequence[str]) -> dict[str, bool]:
        """What is known of a classifier's labels."""
        named = {label: lookup(label.replace("_", " ")) for label in labels}
        found = {label: self.shows(each.name) for label, each in named.items() if each}
        return {label: there for label, there in found.items() if there is not None}


def cohort(folder: Path, patients: int, split: str = "") -> list[Chosen]:
    """The first radiograph of so many patients, in the order of a hash of their keys.

    Raises:
        BadRequest: no such folder, or no frontal radiograph in it.
        UnreadableInput: a damaged index, or no image.
    """
    if not folder.is_dir():
        raise BadRequest("--data names no folder.", hint="Check the path.")
    found = list(_indexed(folder, split) if (folder / "index.csv").is_file() else _loose(folder))
    if not found:
        raise BadRequest("The folder holds no frontal radiograph.", hint="See --split.")
    first: dict[str, Chosen] = {}
    for each in found:
        first.setdefault(each.patient, each)
    ranked = sorted(first.values(), key=lambda each: sha256(each.patient.encode()).hexdigest())
    return ranked[:patients]


def single(file: Path) -> Chosen:
    """One radiograph; BadRequest if there is no such file."""
    if not file.is_file():
        raise BadRequest("--one names no file.", hint="Check the path.")
    return Chosen("0001", str(file.absolute()), "1")


def _indexed(folder: Path, split: str) -> Iterator[Chosen]:
    for row in read_index(folder):
        if projection(row.view) in VIEWS and split in ("", row.split):
            path = str((folder / image_of(folder, row)).absolute())
            yield Chosen(row.id, path, row.patient, _group(row), row.labels)


def _group(row: Row) -> dict[str, str]:
    age = "" if row.age is None else "under 40" if row.age < 40 else "40 to 64"
    age = "65 and over" if row.age is not None and row.age >= 65 else age
    told = {"view": projection(row.view), "sex": row.sex, "age": age, "site": row.source}
    return {key: value for key, value in told.items() if value}


def _loose(folder: Path) -> Iterator[Chosen]:
    from monai_cxr_cf.dicom.reading.series import find_images

    known = list(sources([str(folder)])) if any(folder.rglob("*.dcm")) else []
    for number, source in enumerate(known):
        path = str(Path(source.path).absolute())
        yield Chosen(f"{number + 1:04d}", path, source.cells.get("patient", path))
    if not known:
        for number, image in enumerate(find_images(folder)):
            yield Chosen(f"{number + 1:04d}", str(image.absolute()), str(image))
