# SPDX-License-Identifier: Apache-2.0
"""The finished rows of an audit's batch in, trials out: pictures read back from what was written.

Only an edit that passed its verdict counts. The audited classifier is never its own judge: where
the verdict asked it, its word is taken out, and the other shipped judge is heard instead.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.anatomy.organs import NAMES, Organs
from monai_cxr_cf.audit.measuring.trial import Asked, Picture, Trial
from monai_cxr_cf.batch.compact import rows
from monai_cxr_cf.batch.edit_work import REPORT
from monai_cxr_cf.batch.rows.columns import Row
from monai_cxr_cf.batch.store.results import DONE
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.judges.classifier import Judge
from monai_cxr_cf.judges.evidence import Limits

Array = NDArray[np.float32]
BY_JUDGE = ("gain", "drift")  # checks of a verdict that are the classifier's word
OURS = ReadOptions(allow_synthetic=True, allow_body_part=True, allow_lateral=True,
                   allow_burned_in=True, min_side=1)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """An edit and its sham, both finished."""

    key: str  # of both; what their pixels depend on
    row: Row
    edit: Path
    sham: Path


@dataclass
class Found:
    """What a batch holds."""

    pairs: list[Pair] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)  # why there is no pair: code -> trials


def find_pairs(folder: RunFolder) -> Found:
    """Every edit with its sham, in the order of the plan; what is not done is counted."""
    arms: dict[str, dict[bool, tuple[Row, Mapping[str, Any]]]] = {}
    for row, history in rows(folder):
        arms.setdefault(str(row.more["trial"]), {})[row.edit.sham] = (row, history.last)
    found = Found()
    for both in arms.values():
        wrong = next((last for _, last in both.values() if last.get("state") != DONE), None)
        if wrong is not None or len(both) < 2:
            found.lost[str((wrong or {}).get("code", "not done"))] += 1
            continue
        (row, edit), (_, sham) = both[False], both[True]
        key = f"{edit['key'][:16]}-{sham['key'][:16]}"
        found.pairs.append(Pair(key, row, folder.row(edit["key"]), folder.row(sham["key"])))
    return found


class Levels(Sequence[Array]):
    """The pictures of a series on the source's display, read one at a time."""

    def __init__(self, place: Path, source: Radiograph, count: int) -> None:
        self._place, self._source, self._count = place, source, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> Array: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Array]: ...
    def __getitem__(self, number: int | slice) -> Array | Sequence[Array]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(self._count))]
        index = range(self._count)[number] + 1
        return shown_on(self._source, self._place / "cf" / f"{index:04d}.dcm")


def shown_on(source: Radiograph, file: Path) -> Array:
    """A counterfactual on the display of its source; BadRequest for another's."""
    shown = read_source(file, OURS).as_stored()
    stored = source.turn.apply(shown.stored)
    if stored.shape != source.shape or stored.dtype != source.stored.dtype:
        raise BadRequest("A counterfactual lies on another grid than its source.")
    return source.rendered(stored)


def trials(
    pairs: Sequence[Pair], pictures: Mapping[str, Picture], audited: str, second: Judge | None
) -> Iterator[tuple[Pair, Trial]]:
    """The trials of some pairs.

    Args:
        pairs: of ``find_pairs``.
        pictures: what is known of each radiograph, by its id; pixels are read here.
        audited: sha256 of the audited classifier.
        second: a judge for edits whose verdict asked the audited one; None if there is none.
    """
    read: tuple[str, Radiograph] | None = None
    for pair in pairs:
        if read is None or read[0] != pair.row.path:
            read = (pair.row.path, read_source(pair.row.path, pair.row.edit.reading))
        yield pair, _trial(pair, read[1], pictures, audited, second)


def _trial(
    pair: Pair, source: Radiograph, pictures: Mapping[str, Picture], audited: str,
    second: Judge | None,
) -> Trial:  # fmt: skip
    told = json.loads((pair.edit / REPORT).read_text(encoding="utf-8"))["verdict"]
    known = pictures[str(pair.row.more["picture"])]
    picture = Picture(known.id, known.patient, source.pixels, known.group, known.truth)
    (item,) = pair.row.edit.findings
    levels = pair.row.edit.levels
    edited = Levels(pair.edit, source, len(levels))
    failed = [check["name"] for check in told["checks"] if check["passed"] is not True]
    verdict, proven = told["verdict"], bool(told.get("proven"))
    opinion = told.get("classifier")
    if opinion and opinion["sha256"] == audited:
        failed = [name for name in failed if name.partition(":")[0] not in BY_JUDGE]
        verdict = "failed" if failed else "passed"
        proven = verdict == "passed" and _seen(second, item.finding, source.pixels, edited[-1],
                                               up=item.direction != "remove")  # fmt: skip
    why = tuple(dict.fromkeys(name.partition(":")[0] for name in failed))
    asked = Asked(item.finding, item.side, item.direction)
    sham = Levels(pair.sham, source, len(levels))
    organs = _organs(read_segmentation(pair.edit / "seg.dcm", source), source.shape)
    return Trial(picture, asked, levels, edited, sham, organs, verdict, proven, why)


def _seen(judge: Judge | None, finding: str, before: Array, after: Array, *, up: bool) -> bool:
    """Whether an independent judge that can tell sees the finding change as asked."""
    if judge is None or not judge.counts(finding):
        return False
    place = judge.findings.index(finding)
    first, last = judge.predict([before, after])[:, place]
    return bool((last - first) * (1 if up else -1) >= Limits().gain)


def _organs(masks: Mapping[str, NDArray[np.bool_]], shape: tuple[int, int]) -> Organs:
    nothing = np.zeros(shape, bool)
    return Organs(*(masks.get(name, nothing) for name in NAMES))
