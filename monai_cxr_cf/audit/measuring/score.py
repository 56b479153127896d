# SPDX-License-Identifier: Apache-2.0
"""A radiograph or a trial in, a record of scores out: JSON-ready, all that the figures need."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.measuring.flip import smallest_flip
from monai_cxr_cf.audit.measuring.parts import (
    in_and_out,
    mirrored,
    organ_parts,
    outside,
    scrambled,
    shapley,
    zone_parts,
)
from monai_cxr_cf.audit.measuring.trial import Picture, Trial
from monai_cxr_cf.prompts.findings import lookup
from monai_cxr_cf.shifts.table import MARK, SHIFTS, shifted

Array = NDArray[np.float32]
Record = dict[str, Any]
UNSEEN = 1 / 255  # a grain that nobody sees
SEED = 7
MARKS = tuple(name for name, shift in SHIFTS.items() if shift.kind == MARK)


@lru_cache(maxsize=256)
def target_of(labels: tuple[str, ...], finding: str) -> int | None:
    """Which score is about a finding, by any of its names; None if none is."""
    names = [lookup(label.replace("_", " ")) for label in labels]
    return next((n for n, found in enumerate(names) if found and found.name == finding), None)


def _told(values: NDArray[np.float64]) -> Any:
    return np.round(values, 6).tolist()


def measure_picture(classifier: Classifier, picture: Picture) -> Record:
    """Scores of a radiograph as it is, again, with an invisible grain, and with every shift."""
    grain = np.random.default_rng(SEED).uniform(-1, 1, picture.pixels.shape).astype(np.float32)
    unseen = np.clip(picture.pixels + np.float32(UNSEEN) * grain, 0, 1)
    plain, again, grained = classifier.scores([picture.pixels, picture.pixels, unseen])
    moved = {name: _told(classifier.scores([shifted(picture.pixels, name)])[0]) for name in SHIFTS}
    return {
        "id": picture.id,
        "patient": picture.patient,
        "group": dict(picture.group),
        "truth": dict(picture.truth),
        "source": _told(plain),
        "again": _told(again),
        "grained": _told(grained),
        "shifts": moved,
    }


def measure_trial(classifier: Classifier, trial: Trial) -> Record:
    """Scores of an edit and its sham at every level, and of what tells where they come from."""
    source, change = trial.picture.pixels, trial.change
    edited = np.concatenate([classifier.scores([image]) for image in trial.edited])
    sham = np.concatenate([classifier.scores([image]) for image in trial.sham])
    first = classifier.scores([source])[0]
    record: Record = {
        "id": trial.picture.id,
        "patient": trial.picture.patient,
        "group": dict(trial.picture.group),
        **asdict(trial.asked),
        "name": trial.asked.name,
        "verdict": trial.verdict,
        "proven": trial.proven,
        "why": list(trial.why),
        "levels": list(trial.levels),
        "source": _told(first),
        "edited": _told(edited),
        "sham": _told(sham),
        "sham_size": _size(trial),
    }
    if trial.verdict != "passed":
        return record  # counted and shown, not believed
    whole = trial.edited[-1]
    dark, other = classifier.scores([shifted(x, "polarity") for x in (whole, trial.sham[-1])])
    record["inverted"] = {"edited": _told(dark), "sham": _told(other)}
    marked = [classifier.scores([shifted(whole, name)])[0] for name in MARKS]
    record["marked"] = dict(zip(MARKS, map(_told, marked), strict=True))
    for name, split, parts in (("organs", shapley, organ_parts), ("zones", in_and_out, zone_parts)):
        found = split(classifier.scores, source, change, parts(trial.organs))
        record[name] = {part: _told(values) for part, values in found.items()}
    record |= _elsewhere(classifier, trial)
    record["flip"] = _flip(classifier, trial, first, sham[-1])
    return record


def _size(trial: Trial) -> float:
    """How much the sham changed, as a share of what the edit changed."""
    sizes = [
        float(np.abs(x - trial.picture.pixels).sum()) for x in (trial.sham[-1], trial.edited[-1])
    ]
    return round(sizes[0] / sizes[1], 6) if sizes[1] else 0.0


def _elsewhere(classifier: Classifier, trial: Trial) -> Record:
    """The same change on the other side, outside all organs, and where it is without meaning."""
    places = {
        "scrambled": scrambled(trial.change),
        "mirrored": mirrored(trial.change, trial.organs),
        "outside": outside(trial.change, trial.organs),
    }
    source = trial.picture.pixels
    return {
        name: None if moved is None
        else _told(classifier.scores([np.clip(source + moved, 0, 1)])[0])
        for name, moved in places.items()
    }  # fmt: skip


def _flip(
    classifier: Classifier, trial: Trial, first: NDArray[np.float64], sham: NDArray[np.float64]
) -> Record | None:
    """The smallest flip of the score that is about the finding; None without such a score."""
    target = target_of(classifier.labels, trial.asked.finding)
    if target is None:
        return None

    def score(images: Sequence[Array]) -> NDArray[np.float64]:
        return np.asarray(classifier.scores(images)[:, target])

    found = smallest_flip(
        score,
        trial.picture.pixels,
        trial.change,
        threshold=classifier.declared.threshold(classifier.labels[target]),
        band=abs(float(sham[target] - first[target])),
        up=trial.asked.direction == "add",
    )
    return asdict(found)
