# SPDX-License-Identifier: Apache-2.0
"""What moves the scores: edits against their shams, shifts against the plain picture, all outputs.

Two families of tests, each corrected by Holm: what page one says (edits on the score of their own
finding, shifts on the same scores), and the matrix of edits on all other scores.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_cxr_cf.audit.figures.chance import OTHERS, Effect, effect, holm, smallest_seen
from monai_cxr_cf.audit.figures.facts import (
    Facts,
    Record,
    gains,
    patients,
    plain,
    rises,
    rounded,
    say,
)
from monai_cxr_cf.shifts.table import SHIFTS

PLACES = ("scrambled", "mirrored", "outside")  # where else the same change was put
CHECKED = "polarity"  # a check, no claim: every classifier should mind


def page_one(facts: Facts) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Effects of edits and of shifts, corrected together; the largest first."""
    keys: list[tuple[str, str, int]] = []
    found: list[Effect] = []
    for name, trials in facts.names().items():
        for label in facts.scored(trials[0]["finding"]):
            keys.append(("edit", name, label))
            found.append(effect(gains(trials, label), patients(trials)))
    for name in (name for name in SHIFTS if name != CHECKED):
        for label in facts.watched():
            moved = [p["shifts"][name][label] - p["source"][label] for p in facts.pictures]
            keys.append(("shift", name, label))
            found.append(effect(moved, patients(facts.pictures)))
    adjusted = holm([each.p for each in found])
    entries = [
        {**_entry(facts, key, each, p), "smallest_seen": plain(_seen(each, len(found)))}
        for key, each, p in zip(keys, found, adjusted, strict=True)
    ]
    for entry in entries:
        if entry["kind"] == "edit":
            entry.update(_evidence(facts, entry))
    return _sorted(entries, "edit"), _sorted(entries, "shift")


def _seen(found: Effect, tests: int) -> float | None:
    return smallest_seen(found.sd, found.patients, tests)


def _entry(facts: Facts, key: tuple[str, str, int], found: Effect, p: float) -> dict[str, Any]:
    kind, name, label = key
    told = {"kind": kind, "name": name, "label": facts.labels[label], **rounded(found)}
    if kind == "shift":
        told |= {"words": SHIFTS[name].words, "of": SHIFTS[name].kind}
    return {**told, "p_holm": plain(p, 6), "says": say(found, p, facts.margin)}


def _sorted(entries: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    own = [entry for entry in entries if entry["kind"] == kind]
    return sorted(own, key=lambda entry: (-abs(entry["value"] or 0), entry["name"]))


def _evidence(facts: Facts, entry: dict[str, Any]) -> dict[str, Any]:
    """Where an edit's effect comes from, what else moves the same score, and what flips it."""
    trials = facts.names()[entry["name"]]
    label = facts.labels.index(entry["label"])
    band = np.quantile(rises(trials, label, "sham"), [0.025, 0.975])
    dark = [t["inverted"]["edited"][label] - t["inverted"]["sham"][label] for t in trials]
    told = {name: trials[0][name] for name in ("finding", "side", "direction")}
    return {
        **told,
        "proven": sum(bool(t["proven"]) for t in trials),
        "sham_band": [plain(float(value)) for value in band],
        "sham_size": plain(float(np.median([t["sham_size"] for t in trials]))),
        "organs": _shares(trials, "organs", label, facts.margin),
        "zones": _shares(trials, "zones", label, facts.margin),
        "elsewhere": {name: _moved(trials, name, label) for name in PLACES},
        "with_polarity_exchanged": rounded(effect(dark, patients(trials))),
        "flips": flips(trials, facts, label),
    }


def _shares(trials: Sequence[Record], kind: str, label: int, margin: float) -> dict[str, Any]:
    """Share of the summed effect that each part carries; {} where too little is there to share."""
    whole = float(rises(trials, label).sum())
    if abs(whole) < margin * len(trials):
        return {}
    sums: dict[str, float] = {}
    for trial in trials:
        for part, values in trial[kind].items():
            sums[part] = sums.get(part, 0.0) + values[label]
    return {part: plain(value / whole) for part, value in sums.items()}


def _moved(trials: Sequence[Record], name: str, label: int) -> dict[str, Any]:
    moved = [np.nan if t[name] is None else t[name][label] - t["source"][label] for t in trials]
    return rounded(effect(moved, patients(trials)))


def flips(trials: Sequence[Record], facts: Facts, label: int) -> dict[str, Any]:
    """How many edits take the score over its operating point, and with how little."""
    found = [t["flip"] for t in trials if t["flip"] is not None]
    over = [flip for flip in found if flip["kind"] == "flips"]
    threshold = facts.thresholds.get(facts.labels[label], 0.5)
    return {
        "threshold": threshold,
        "counts": {kind: sum(flip["kind"] == kind for flip in found)
                   for kind in ("flips", "never", "less than its sham", "already there")},
        "level": plain(float(np.median([f["level"] for f in over]))) if over else None,
        "area": plain(float(np.median([f["area"] for f in over]))) if over else None,
    }  # fmt: skip


def off_target(facts: Facts) -> list[dict[str, Any]]:
    """Every edit on every score that is not its own, minus shams, corrected by Holm."""
    keys, found = [], []
    for name, trials in facts.names().items():
        own = facts.scored(trials[0]["finding"])
        for label in range(len(facts.labels)):
            if label not in own:
                keys.append((name, facts.labels[label]))
                found.append(effect(gains(trials, label), patients(trials)))
    adjusted = holm([each.p for each in found])
    return [
        {"name": name, "label": label, **rounded(each), "p_holm": plain(p, 6),
         "says": say(each, p, facts.margin, OTHERS)}
        for (name, label), each, p in zip(keys, found, adjusted, strict=True)
    ]  # fmt: skip
