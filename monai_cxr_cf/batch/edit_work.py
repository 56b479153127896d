# SPDX-License-Identifier: Apache-2.0
"""The work of a batch: every row is one edit, by the same ``pipeline.run`` as ``cxr-cf edit``."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import monai_cxr_cf
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.rows.manifest import file_sha256
from monai_cxr_cf.batch.store.fetched import local
from monai_cxr_cf.batch.store.files import remove
from monai_cxr_cf.calibration import FILE
from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.imports import loading
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import CACHE_BYTES, CENSUS, VERDICT_JUDGE, Networks

REPORT = "report.json"
ALL, KEPT = "all", ("all", "report")
BACKBONE, SEGMENTER = "cxr-mini", "hybridgnet"  # where a row says nothing
STANDARD = {"backbone": BACKBONE, "segmenter": SEGMENTER}


@dataclass
class Parts:
    """What a worker keeps between rows."""

    networks: Networks
    sources: tuple[str, int, int, str] = ("", 0, 0, "")  # the last file: path, time, size, digest
    tell: Callable[[Mapping[str, Any]], None] | None = None  # called at every step of an edit


@dataclass(frozen=True)
class EditWork:
    """How edits are run.

    Args:
        backbone: loaded before the first row.
        segmenter: likewise.
        device: of ``Networks``.
        precision: likewise.
        compiled: likewise.
        cache: likewise.
        cache_bytes: likewise.
        arrays: also write masks.npz.
        keep: "report": of a row's files its report alone.
        sources: where what lies in a DICOMweb store is fetched to.
    """

    backbone: str = BACKBONE
    segmenter: str = SEGMENTER
    device: str = "auto"
    precision: str = "auto"
    compiled: bool = False
    cache: Path | None = None
    cache_bytes: int = CACHE_BYTES
    arrays: bool = False
    keep: str = ALL
    sources: Path = Path("sources")

    def load(self) -> Parts:
        """Libraries and networks, as the first row needs them."""
        with loading():
            from monai_cxr_cf import pipeline  # noqa: F401
        names = ("device", "precision", "compiled", "cache", "cache_bytes")
        networks = Networks(**{name: getattr(self, name) for name in names})
        networks.backbone(self.backbone)
        networks.segmenter(self.segmenter)
        return Parts(networks)

    def weights(self, parts: Parts, row: Row | None) -> Mapping[str, str]:
        """One digest a backbone and segmenter: their files, the judge's, calibration and census."""
        own = {"backbone": self.backbone, "segmenter": self.segmenter}
        asked = {**STANDARD, **(own if row is None else row.request)}
        backbone, segmenter = str(asked["backbone"]), str(asked["segmenter"])
        networks = parts.networks
        judge = networks.judge(VERDICT_JUDGE)
        told = {
            "backbone": dict(networks.backbone(backbone).files),
            "segmenter": networks.segmenter(segmenter).sha256,
            "judge": "" if judge is None else judge.sha256,
            "beside": [_beside(networks, backbone, name) for name in (FILE, CENSUS)],
        }
        return {f"{backbone} {segmenter}": _digest(told)}

    def key(self, parts: Parts, row: Row) -> str:
        """Over request, drawn masks, the source file, weights and version.

        The whole file counts, not its pixels alone: the output carries the source's header, and
        two patients' files may hold the same pixels.
        """
        from monai_cxr_cf.runs.record import identity

        request = local(row, self.sources).edit
        told = {
            "request": identity(request),
            "beside": [request.png, self.arrays],
            "source": _source(parts, request),
            "weights": dict(self.weights(parts, row)),
            "version": monai_cxr_cf.__version__,
        }
        return _digest(told)

    def build(self, parts: Parts, row: Row, folder: Path) -> None:
        """The edit."""
        from monai_cxr_cf import pipeline

        request = local(row, self.sources).edit
        pipeline.run(
            request, folder, networks=parts.networks, progress=parts.tell, arrays=self.arrays
        )
        for path in folder.iterdir() if self.keep != ALL else ():
            if path.is_dir():
                remove(path)
            elif path.name != REPORT:
                path.unlink()

    def facts(self, folder: Path) -> Mapping[str, Any]:
        """Verdict and size of a folder whose files are those that its report lists."""
        from monai_cxr_cf.runs.verify import read_report

        report = folder / REPORT
        size = report.stat().st_size if report.is_file() else 0
        files = read_report(report).files
        for entry in files if self.keep == ALL else ():
            path = folder / entry["path"]
            if not path.is_file() or file_sha256(path) != entry["sha256"]:
                raise UnreadableInput("A file of the row is not as its report says.")
            size += path.stat().st_size
        told = json.loads(report.read_text(encoding="utf-8"))
        found = {"verdict": told["verdict"].get("verdict"), "bytes": size}
        return {**found, "outside_max_diff": told["outside_max_diff"]}


def _source(parts: Parts, request: EditRequest) -> str:
    """sha256 of the source file; kept for the next row of the same radiograph."""
    from monai_cxr_cf.dicom.reading.read import read_source
    from monai_cxr_cf.dicom.reading.series import find_image

    path = Path(request.source)
    if path.is_dir():
        with withheld():
            path = find_image(path)
    if not path.is_file() or path.stat().st_size > request.reading.max_bytes:
        read_source(path, request.reading)  # says what is wrong
    told = path.stat()
    if parts.sources[:3] != (str(path), told.st_mtime_ns, told.st_size):
        parts.sources = (str(path), told.st_mtime_ns, told.st_size, file_sha256(path))
    return parts.sources[3]


def _beside(networks: Networks, backbone: str, name: str) -> str:
    """Digest of a file in the backbone's folder; "" if there is none."""
    for folder in (networks.folder() / backbone, Path(backbone)):
        if (folder / name).is_file():
            return file_sha256(folder / name)
    return ""


def _digest(told: Any) -> str:
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()
