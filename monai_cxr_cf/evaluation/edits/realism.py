# SPDX-License-Identifier: Apache-2.0
"""Edits and real radiographs with the same finding in, how plainly they differ out.

A two-sample test on crops: a linear map of features that no generator learnt by (EfficientNet-Lite0
of ImageNet) is asked which crops were edited, on patients it did not see. AUC .5: it cannot tell;
1: plain. The same for the sources of the edits, which have no finding, says what a wrong picture
looks like to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.anatomy.organs import Organs
from monai_cxr_cf.anatomy.zones import zone_mask
from monai_cxr_cf.data.folder import Row, load_image, read_index
from monai_cxr_cf.errors import UnreadableInput, UnsupportedImage
from monai_cxr_cf.evaluation.classifier.figures import drawn, within
from monai_cxr_cf.evaluation.cohort import findings
from monai_cxr_cf.evaluation.edits.inputs import COLUMNS
from monai_cxr_cf.evaluation.edits.pictures import HEIGHT, load_strip
from monai_cxr_cf.evaluation.edits.store import read_rows
from monai_cxr_cf.grid import ModelGrid
from monai_cxr_cf.judges.geometry import measure, side_of
from monai_cxr_cf.judges.preprocess import stretch
from monai_cxr_cf.measures.masks import box_of
from monai_cxr_cf.measures.probe import Samples, out_of_fold

log = logging.getLogger(__name__)
Array = NDArray[np.float32]
Segment = Callable[[Array], Organs]
Look = Callable[[Sequence[Array]], NDArray[np.float32]]
PICTURES = "pictures"
CROP = 96  # px of a crop, less than any source has: nobody is told apart by sharpness
RIDGE = 1.0
FEWEST = 8  # crops of each kind below which nothing is said
MARGIN = 0.1  # of a crop's size, added on each side
WHERE = {"pleural effusion": "lower", "consolidation": "lower"}  # else both lungs


@dataclass
class Crops:
    """Crops of one kind for one finding."""

    pictures: list[Array] = field(default_factory=list)
    patients: list[Hashable] = field(default_factory=list)
    views: list[str] = field(default_factory=list)

    def add(self, picture: Array, patient: Hashable, view: str) -> None:
        """One more."""
        self.pictures.append(picture)
        self.patients.append(patient)
        self.views.append(view)


def crop_of(image: Array, organs: Organs, finding: str, side: str | None) -> Array:
    """The place of a finding, CROP x CROP, stretched; a right side mirrored so that all are left.

    Raises:
        UnsupportedImage: the segmenter found no such place.
    """
    zone = WHERE.get(finding)
    mask = organs.lungs if zone is None else zone_mask(organs, zone, side)
    if not mask.any():
        raise UnsupportedImage("There is no such place in the radiograph.")
    rows, columns = box_of(mask)
    margin = round(MARGIN * max(rows.stop - rows.start, columns.stop - columns.start))
    rows, columns = box_of(mask, margin)
    crop = np.ascontiguousarray(stretch(image)[rows, columns])
    crop = crop[:, ::-1] if zone is not None and side == "right" else crop
    return ModelGrid((crop.shape[0], crop.shape[1]), CROP).to_model(np.ascontiguousarray(crop))


def edited_crops(edits: Path, segment: Segment) -> Iterator[tuple[str, str, Crops]]:
    """Finding, kind and crops of a folder of ``cxr-cf evaluate edits``: edit, sham and source.

    Additions only: what a removal must look like has no label of its own.
    """
    found: dict[tuple[str, str], Crops] = {}
    sources: set[tuple[str, str, str | None]] = set()
    for row in read_rows(edits):
        if row.get("direction") != "add" or "picture" not in row:
            continue
        source, edited = load_strip(edits / PICTURES / row["picture"])
        of = row["finding"], row["side"]
        wanted = [(row["kind"], edited)]
        if (row["input"], *of) not in sources:
            sources.add((row["input"], *of))
            wanted.append(("source", source))
        for kind, image in wanted:
            try:
                crop = crop_of(image, segment(image), *of)
            except UnsupportedImage as refusal:
                log.info("left out: %s", refusal.code)
                continue
            found.setdefault((of[0], kind), Crops()).add(crop, row["patient"], row["view"])
    for (finding, kind), crops in found.items():
        yield finding, kind, crops


def real_crops(data: Path, rows: Sequence[Row], finding: str, segment: Segment) -> Crops:
    """Crops of radiographs whose labels name the finding, on the denser side where it has one."""
    crops = Crops()
    for row in rows:
        if finding not in findings(row) or row.view[:2] not in ("PA", "AP"):
            continue
        image = _as_drawn(load_image(data, row))
        try:
            organs = segment(image)
            side = side_of(measure(image, organs.as_dict()), row.view[:2])
            if finding in WHERE and side is None:
                continue
            crops.add(crop_of(image, organs, finding, side), row.patient, row.view[:2])
        except UnsupportedImage as refusal:
            log.info("left out: %s", refusal.code)
    return crops


def _as_drawn(image: Array) -> Array:
    """At the size and depth of the panels that edits are read from."""
    size = (max(1, round(image.shape[1] * HEIGHT / image.shape[0])), HEIGHT)
    small = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(np.rint(np.clip(np.asarray(small), 0, 1) * 255) / 255, np.float32)


def told_apart(made: Crops, real: Crops, look: Look) -> dict[str, Any] | None:
    """AUC of telling one kind from real, within one view, patients apart; None of too few.

    Returns:
        ``auc``, ``low`` and ``high`` over patients, ``made`` and ``real``: crops,
        ``made_patients``, ``real_patients``.
    """
    views = {view for view in made.views if view in real.views}
    kept = [[k for k, view in enumerate(c.views) if view in views] for c in (made, real)]
    if min(map(len, kept)) < FEWEST:
        return None
    pairs = [(c, k) for c, which in zip((made, real), kept, strict=True) for k in which]
    labels = np.array([float(c is made) for c, _ in pairs])
    patients = tuple(c.patients[k] for c, k in pairs)
    strata = np.array([c.views[k] for c, k in pairs])
    vectors = look([c.pictures[k] for c, k in pairs]).astype(np.float64)
    samples = Samples(
        vectors, labels, np.ones(len(pairs)), patients, tuple(strata), np.ones(len(pairs), bool)
    )
    scores = np.mean([out_of_fold(samples, ridges=(RIDGE,), seed=s)[0] for s in range(3)], axis=0)
    low, high = np.nanpercentile(drawn(scores, labels, strata, patients), [2.5, 97.5])
    count = len(kept[0])
    return {
        "auc": round(within(scores, labels, strata), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "made": count,
        "real": len(kept[1]),
        "made_patients": len(set(patients[:count])),
        "real_patients": len(set(patients[count:])),
    }


def realism(edits: Path, data: Path, segment: Segment, look: Look) -> dict[str, Any]:
    """Finding -> kind (edit, sham, source) -> figures of ``told_apart``.

    Real radiographs are all labelled ones of ``data`` but of the edits' own patients, whatever
    their split: the features have learnt from none.

    Raises:
        UnreadableInput: the folder holds no pictures of additions.
    """
    found = list(edited_crops(edits, segment))
    if not found:
        raise UnreadableInput(
            "The folder holds no pictures of additions.",
            hint="Pass the output folder of `cxr-cf evaluate edits`.",
        )
    asked = {patient for _, _, crops in found for patient in crops.patients}
    rows = [row for row in read_index(data, COLUMNS) if row.patient not in asked]
    told: dict[str, Any] = {}
    for finding in sorted({finding for finding, _, _ in found}):
        real = real_crops(data, rows, finding, segment)
        told[finding] = {
            kind: told_apart(crops, real, look) for name, kind, crops in found if name == finding
        }
    return told


def words(told: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    lines = ["| finding | told from real radiographs | AUC (95 % by patient) | crops (patients) "
             "| real (patients) |", "|---|---|---|---|---|"]  # fmt: skip
    for finding, kinds in told.items():
        for kind, f in sorted(kinds.items()):
            if f is None:
                lines.append(f"| {finding} | {kind} | too few crops | | |")
                continue
            lines.append(
                f"| {finding} | {kind} | {f['auc']:.2f} ({f['low']:.2f} to {f['high']:.2f}) | "
                f"{f['made']} ({f['made_patients']}) | {f['real']} ({f['real_patients']}) |"
            )
    return "\n".join(lines) + "\n"
