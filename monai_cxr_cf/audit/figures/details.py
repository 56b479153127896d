# SPDX-License-Identifier: Apache-2.0
"""Behind page one: finding x mark tables, subgroups, calibration, noise."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from monai_cxr_cf.audit.checks import auc_of
from monai_cxr_cf.audit.figures.chance import GROUPS, apart, effect, holm, per_patient
from monai_cxr_cf.audit.figures.facts import (
    Facts,
    Record,
    gains,
    patients,
    plain,
    rounded,
)
from monai_cxr_cf.audit.measuring.score import MARKS

KEYS = ("view", "sex", "age", "site")


def tables(facts: Facts) -> list[dict[str, Any]]:
    """Mean scores with and without finding and mark, and whether the two add up."""
    shifted = {picture["id"]: picture["shifts"] for picture in facts.pictures}
    found = []
    for name, trials in facts.names().items():
        for label in facts.scored(trials[0]["finding"]):
            for mark in MARKS:
                cells = [
                    (t["source"][label], shifted[t["id"]][mark][label], t["edited"][-1][label],
                     t["marked"][mark][label])
                    for t in trials if t["id"] in shifted
                ]  # fmt: skip
                if not cells:
                    continue
                table = np.array(cells)
                both = table[:, 3] - table[:, 1] - (table[:, 2] - table[:, 0])
                means = dict(
                    zip(
                        ("neither", "mark_only", "finding_only", "both"), table.mean(0), strict=True
                    )
                )
                who = [t["patient"] for t in trials if t["id"] in shifted]
                found.append(
                    {"name": name, "label": facts.labels[label], "mark": mark,
                     **{key: plain(float(value)) for key, value in means.items()},
                     "interaction": rounded(effect(both, who))}
                )  # fmt: skip
    return found


def subgroups(facts: Facts) -> list[dict[str, Any]]:
    """Each edit's effect in each group against the others', corrected by Holm."""
    found = list(_subgroups(facts))
    for entry, p in zip(found, holm([entry["p"] for entry in found]), strict=True):
        entry |= {"p_holm": plain(p, 6), "differs": p <= GROUPS}
    return found


def _subgroups(facts: Facts) -> Iterator[dict[str, Any]]:
    for name, trials in facts.names().items():
        for label in facts.scored(trials[0]["finding"]):
            for key in KEYS:
                for value in sorted({t["group"].get(key, "") for t in trials} - {""}):
                    own = [t for t in trials if t["group"].get(key) == value]
                    rest = [t for t in trials if t["group"].get(key, "") not in ("", value)]
                    if min(len(set(patients(g))) for g in (own, rest)) < facts.group:
                        continue
                    here, there = (per_patient(gains(g, label), patients(g)) for g in (own, rest))
                    entry: dict[str, Any] = {"name": name, "label": facts.labels[label], "by": key}
                    entry |= {"group": value, **rounded(effect(here, range(len(here))))}
                    entry |= {"others": plain(float(there.mean())), "p": apart(here, there)}
                    yield {**entry, **_rates(own, label, facts)}


def _rates(trials: Sequence[Record], label: int, facts: Facts) -> dict[str, Any]:
    """Flip rate, and AUC of edits against their own shams."""
    threshold = facts.thresholds.get(facts.labels[label], 0.5)
    before = np.array([t["source"][label] >= threshold for t in trials])
    after = np.array([t["edited"][-1][label] >= threshold for t in trials])
    edited, sham = ([t[kind][-1][label] for t in trials] for kind in ("edited", "sham"))
    return {"flip_rate": plain(float((before != after).mean())),
            "auc": plain(auc_of(edited, sham))}  # fmt: skip


def calibration(facts: Facts) -> list[dict[str, Any]]:
    """Brier score and mean against rate: of labelled radiographs, and with their edits beside."""
    found = []
    for label, name in enumerate(facts.labels):
        known = [(p["source"][label], p["truth"][name]) for p in facts.pictures
                 if name in p["truth"]]  # fmt: skip
        own = [
            t for t in facts.used if t["direction"] == "add" and label in facts.scored(t["finding"])
        ]
        if len(known) < facts.group or not own:
            continue
        edits = [(t["edited"][-1][label], True) for t in own]
        told = {"before": _brier(known), "after": _brier([*known, *edits])}
        found.append({"label": name, "radiographs": len(known), "edits": len(edits), **told})
    return found


def _brier(pairs: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    scores, truths = (np.array(each, float) for each in zip(*pairs, strict=True))
    return {"brier": plain(float(((scores - truths) ** 2).mean())),
            "mean": plain(float(scores.mean())), "rate": plain(float(truths.mean()))}  # fmt: skip


def noise(facts: Facts) -> list[dict[str, Any]]:
    """How far each score moves under a grain that nobody sees, beside its spread over patients."""
    plain_, grained = (
        np.array([p[kind] for p in facts.pictures]) for kind in ("source", "grained")
    )
    moved = np.sqrt(((grained - plain_) ** 2).mean(0))
    spread = plain_.std(0)
    return [
        {"label": name, "moved": plain(float(moved[n])), "spread": plain(float(spread[n]))}
        for n, name in enumerate(facts.labels)
    ]
