# SPDX-License-Identifier: Apache-2.0
"""A data folder and an exported batch in, what the classifier of each arm learns from out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from monai_cxr_cf.batch.export.samples import COPIES, EDITED, REAL
from monai_cxr_cf.data.folder import Row, read_index
from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.training.classifier.data import Material, Seen, load_regions, look_at
from monai_cxr_cf.training.classifier.labels import label_table, second_looks
from monai_cxr_cf.training.classifier.recipe import ClassifierRecipe

NEEDED = ("id", "patient", "view", "split", "labels")
TRAIN = "train"


@dataclass(frozen=True, eq=False)
class Cohort:
    """Who is learnt from and who is held out."""

    data: Path
    export: Path
    train: tuple[Row, ...]  # real
    test: tuple[Row, ...]  # real, of other patients
    added: Mapping[str, tuple[Row, ...]]  # arm -> what it has besides


def cohort(data: Path, export: Path, split: str, sources: Sequence[str] = ()) -> Cohort:
    """The rows of all arms.

    Args:
        data: real radiographs with labels and splits; learnt from: ``train``.
        export: what ``cxr-cf batch export --to folder`` wrote for radiographs of ``data``.
        split: the held-out one.
        sources: values of the column ``source``; none: all.

    Raises:
        UnreadableInput: a folder is not what it should be, or holds nothing to learn from.
        BadRequest: patients stand on both sides, or those of the export are none of the training.
    """
    rows = [
        r for r in read_index(data, NEEDED) if r.labels and (not sources or r.source in sources)
    ]
    train, test = (tuple(r for r in rows if r.split == name) for name in (TRAIN, split))
    if not train or not test:
        raise UnreadableInput(
            f"The data folder has {len(train)} labelled radiographs in train and {len(test)} in "
            f"{split}; expected some in both.",
            hint="Fill the columns labels and split; see --split and --sources.",
        )
    learnt = {row.patient for row in train}
    if both := learnt & {row.patient for row in test}:
        raise BadRequest(f"{len(both)} patients are both in train and in {split}; expected none.",
                         hint="Split by patient.")  # fmt: skip
    found = {arm: _added(export, arm) for arm in (COPIES, EDITED)}
    if not len(found[COPIES]) == len(found[EDITED]) > 0:
        raise UnreadableInput(
            f"The export adds {len(found[EDITED])} counterfactuals and {len(found[COPIES])} copies "
            "to train; expected as many of both.",
            hint="Make it with cxr-cf batch export DIR --to folder.",
        )
    if others := {row.patient for row in found[EDITED] + found[COPIES]} - learnt:
        raise BadRequest(
            f"{len(others)} patients of the export are not among those learnt from.",
            hint="Plan the batch from the same folder: cxr-cf batch plan DIR --layout folder.",
        )
    return Cohort(data, export, train, test, found)


def _added(export: Path, arm: str) -> tuple[Row, ...]:
    """What an arm has besides the real images, of those that are learnt from."""
    real = {row.id: row for row in read_index(export / REAL, NEEDED)}
    rows = [row for row in read_index(export / arm, NEEDED) if row.split == TRAIN]
    found = tuple(row for row in rows if row.id not in real)
    if any(not real[row.id.partition("-")[0]].labels for row in found):
        raise BadRequest("The export has sources without labels.",
                         hint="Give the manifest of the batch a column labels.")  # fmt: skip
    return found


def materials(who: Cohort, recipe: ClassifierRecipe, cache: Path) -> dict[str, Material]:
    """Arm -> what its classifier learns from; region maps are kept in ``cache``."""
    shape, looks = recipe.shape(), second_looks(who.data)
    test = look_at(who.data, who.test, shape)
    real = look_at(who.data, who.train, shape)
    maps = load_regions(who.data, who.train, side=recipe.side, cache=cache / REAL)
    found = {REAL: Material(real, test, maps, looks)}
    for arm, rows in who.added.items():
        more = look_at(who.export / arm, rows, shape)
        own = load_regions(who.export / arm, rows, side=recipe.side, cache=cache / arm)
        joined = Seen(
            (*real.rows, *more.rows),
            np.concatenate([real.squares, more.squares]),
            np.concatenate([real.small, more.small]),
        )
        found[arm] = Material(joined, test, np.concatenate([maps, own]), looks)
    return found


def digest(given: Material, names: Sequence[str]) -> str:
    """64 hex digits over all that a training reads."""
    told = sha256(given.regions.tobytes())
    for seen in (given.seen, given.unseen):
        told.update(repr([(row.id, row.view) for row in seen.rows]).encode())
        told.update(label_table(seen.rows, names, given.looks).tobytes())
        told.update(seen.squares.tobytes() + seen.small.tobytes())
    return told.hexdigest()
