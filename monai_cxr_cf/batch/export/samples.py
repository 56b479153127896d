# SPDX-License-Identifier: Apache-2.0
"""The rows of a batch in, images with labels and masks out: real ones, copies, counterfactuals.

For every counterfactual the copies hold its source once more, so that both arms are equally long.
A patient is in one split, a counterfactual in that of its source.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.batch.compact import by_shard
from monai_cxr_cf.batch.edit_work import REPORT
from monai_cxr_cf.batch.export.labels import after, asked, moved, of_source, split_of
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.store.fetched import local
from monai_cxr_cf.batch.store.packs import row_files
from monai_cxr_cf.batch.store.results import DONE
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.errors import BadRequest, CxrError

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

    from monai_cxr_cf.dicom.radiograph import Radiograph

REAL, COPIES, EDITED = "real", "duplicates", "counterfactuals"
ARMS = (REAL, COPIES, EDITED)
ORGANS = ("right_lung", "left_lung", "heart")  # 1, 2, 3 in a mask of organs
EDIT = ("edit_region", "edit_band")  # 1, 2 in a mask of the edit
PASSED = "passed"


@dataclass(frozen=True)
class Sample:
    """One image for a training."""

    id: str  # a file name; no identifier of a patient or of the manifest
    arm: str
    split: str
    patient: str
    view: str
    labels: tuple[str, ...]
    text: str
    image: bytes  # PNG, 8 bits, as displayed
    organs: bytes  # PNG: 0 background, 1 right lung, 2 left lung, 3 heart
    organ_mask: str  # lungs+heart, or "" where the outlines may not fit
    edit: bytes = b""  # PNG: 1 region, 2 band; of a counterfactual
    record: Mapping[str, Any] = field(default_factory=dict)  # where it comes from


@dataclass(frozen=True)
class Wanted:
    """Which rows are exported, and how."""

    shares: Mapping[str, float]
    any_verdict: bool = False
    side: int | None = None  # longer side in pixels; None: as the source


def samples(folder: RunFolder, wanted: Wanted, left: Counter[str]) -> Iterator[Sample]:
    """Every sample; ``left`` counts the rows that give none, by reason."""
    written: set[str] = set()
    splits: dict[str, str] = {}
    shown, radiograph, real = "", None, None
    for number, row, history in by_shard(folder):
        if not history.settled or history.last["state"] != DONE:
            left[str(history.last.get("state", "not done"))] += 1
            continue
        name = _name(row)
        with row_files(folder, number, history.last["key"]) as place:
            if radiograph is None or real is None or shown != name:
                here = local(row, folder.sources)
                radiograph, real = _real(here, place, wanted, name)
                shown = name
            if splits.setdefault(real.patient, real.split) != real.split:
                raise BadRequest("A patient stands in two groups of the manifest.",
                                 hint="Mend the column group, or patient.")  # fmt: skip
            if real.id not in written:
                written.add(real.id)
                yield real
            yield from _edited(row, place, radiograph, real, wanted=wanted, left=left)


def _name(row: Row) -> str:
    """A source as a name of a file: of its path and of how it is read."""
    told = f"{row.given} {json.dumps(row.request.get('reading'), sort_keys=True)}"
    return sha256(told.encode()).hexdigest()[:12]


def _real(row: Row, place: Path, wanted: Wanted, name: str) -> "tuple[Radiograph, Sample]":
    """The source as it is displayed, with the organs that the edit found."""
    from monai_cxr_cf.dicom.reading.read import read_source
    from monai_cxr_cf.dicom.seg_read import read_segmentation

    radiograph = read_source(row.path, row.edit.reading)
    masks = read_segmentation(place / "seg.dcm", radiograph)
    told = json.loads((place / REPORT).read_text(encoding="utf-8"))
    view = str(row.more.get("view") or told["source"].get("view_position", ""))
    labels = of_source(row)
    sample = Sample(
        id=name,
        arm=REAL,
        split=split_of(row, wanted.shares),
        patient=row.patient or name,
        view=view,
        labels=labels or (),
        text=str(row.more.get("caption", "")),
        image=_png(_grey(radiograph.pixels), wanted.side),
        organs=_png(_labelled(masks, ORGANS), wanted.side, mask=True),
        organ_mask="lungs+heart",
        record={"arm": REAL, "labels_known": labels is not None},
    )
    return radiograph, sample


def _edited(
    row: Row, place: Path, radiograph: "Radiograph", real: Sample, *, wanted: Wanted,
    left: Counter[str],
) -> Iterator[Sample]:  # fmt: skip
    """The counterfactuals of a row, each followed by a copy of its source."""
    told = json.loads((place / REPORT).read_text(encoding="utf-8"))
    if row.edit.sham:
        left["sham"] += 1
        return
    edits = asked(row)
    for number, member in enumerate(told["metrics"]["members"], 1):
        if member["verdict"] != PASSED and not wanted.any_verdict:
            left[f"verdict {member['verdict']}"] += 1
            continue
        name = f"{real.id}-{place.name[:12]}-{number:02d}"
        facts = {
            "arm": EDITED,
            "source": real.id,
            "labels_known": real.record["labels_known"],
            "labels_source": list(real.labels),
            "edits": [{"finding": e.finding, "direction": e.direction} for e in edits],
            "member": member,
            "report": {k: v for k, v in told.items() if k not in ("run", "files")},
        }
        sample = replace(
            real,
            id=name,
            arm=EDITED,
            labels=after(real.labels, edits),
            text="",
            image=_counterfactual(place, number, row, radiograph, wanted=wanted),
            organ_mask="" if moved(edits) else real.organ_mask,
            edit=_edit_mask(place, radiograph, wanted),
            record=facts,
        )
        yield sample
        copy = {"arm": COPIES, "source": real.id, "labels_known": real.record["labels_known"]}
        yield replace(real, id=f"{name}-copy", arm=COPIES, record=copy)


def _counterfactual(
    place: Path, number: int, row: Row, radiograph: "Radiograph", *, wanted: Wanted
) -> bytes:
    """The picture of a member as it is displayed, upright as the source; marked SYNTHETIC."""
    from monai_cxr_cf.dicom.png_origin import COMPOSITE, WHOLE
    from monai_cxr_cf.dicom.reading.read import read_source
    from monai_cxr_cf.dicom.writing.plain_png import marks_of

    options = ReadOptions(allow_synthetic=True, allow_body_part=True, allow_lateral=True,
                          allow_burned_in=True, max_pixels=row.edit.reading.max_pixels,
                          max_bytes=row.edit.reading.max_bytes,
                          min_side=row.edit.reading.min_side)  # fmt: skip
    shown = read_source(place / "cf" / f"{number:04d}.dcm", options).as_stored()
    pixels = radiograph.turn.apply(shown.pixels)
    if pixels.shape != radiograph.pixels.shape:
        raise CxrError("A counterfactual lies on another grid than its source.")
    whole = row.edit.config().output.composite == "none"
    return _png(_grey(pixels), wanted.side, marks=marks_of(WHOLE if whole else COMPOSITE))


def _edit_mask(place: Path, radiograph: "Radiograph", wanted: Wanted) -> bytes:
    from monai_cxr_cf.dicom.seg_read import read_segmentation

    masks = read_segmentation(place / "seg.dcm", radiograph)
    return _png(_labelled(masks, EDIT), wanted.side, mask=True)


def _grey(pixels: Any) -> Any:
    """0..1 as 8 bits."""
    import numpy as np

    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def _labelled(masks: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """One picture of masks: the first name is 1, the second 2; a later one lies on top."""
    import numpy as np

    found = np.zeros(next(iter(masks.values())).shape, np.uint8)
    for value, name in enumerate(names, 1):
        if name in masks:
            found[masks[name]] = value
    return found


def _png(
    pixels: Any, side: int | None, *, mask: bool = False, marks: "PngInfo | None" = None
) -> bytes:
    """A PNG, its longer side at most ``side`` pixels."""
    from PIL import Image

    picture, stream = Image.fromarray(pixels), io.BytesIO()
    if side is not None and max(picture.size) > side:
        share = side / max(picture.size)
        size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
        kind = Image.Resampling.NEAREST if mask else Image.Resampling.LANCZOS
        picture = picture.resize(size, kind)
    picture.save(stream, "PNG", pnginfo=marks)
    return stream.getvalue()
