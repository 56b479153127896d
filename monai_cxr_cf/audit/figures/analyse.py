# SPDX-License-Identifier: Apache-2.0
"""All figures of an audit from its records; nothing is scored and nothing drawn here."""

from collections import Counter
from typing import Any

import numpy as np

from monai_cxr_cf.audit.checks import order, steady
from monai_cxr_cf.audit.figures.chance import ALPHA, PAGE_ONE, POWER, patients_needed
from monai_cxr_cf.audit.figures.curves import curves
from monai_cxr_cf.audit.figures.details import calibration, noise, subgroups, tables
from monai_cxr_cf.audit.figures.effects import off_target, page_one
from monai_cxr_cf.audit.figures.facts import Facts
from monai_cxr_cf.audit.figures.maps import maps

STILL = 1e-3  # a score whose whole range is smaller is always the same


def analyse(facts: Facts) -> dict[str, Any]:
    """JSON-ready figures; the same records give the same ones."""
    edits, shifts = page_one(facts)
    tests = len(edits) + len(shifts)
    return {
        "patients": len({p["patient"] for p in facts.pictures}),
        "radiographs": len(facts.pictures),
        "edits": counts(facts),
        "margin": facts.margin,
        "tests": {"number": tests, "alpha": ALPHA, "page_one": PAGE_ONE, "power": POWER,
                  "patients_needed": patients_needed(tests)},
        "effects": edits,
        "shifts": shifts,
        "off_target": off_target(facts),
        "curves": curves(facts),
        "tables": tables(facts),
        "subgroups": subgroups(facts),
        "calibration": calibration(facts),
        "noise": noise(facts),
        "maps": maps(facts),
        "still": _still(facts),
        "checks": checks(facts),
    }  # fmt: skip


def counts(facts: Facts) -> list[dict[str, Any]]:
    """Of every edit: asked, passed, seen by an independent judge, and why the others failed."""
    found = []
    for name in dict.fromkeys(trial["name"] for trial in facts.trials):
        own = [trial for trial in facts.trials if trial["name"] == name]
        passed = [trial for trial in own if trial["verdict"] == "passed"]
        why = Counter(reason for trial in own for reason in trial["why"])
        proven = sum(bool(trial["proven"]) for trial in passed)
        told = {"name": name, "finding": own[0]["finding"], "asked": len(own)}
        told |= {"passed": len(passed), "proven": proven, "why": dict(why.most_common())}
        found.append(told)
    return found


def checks(facts: Facts) -> list[dict[str, Any]]:
    """Steadiness, and order and polarity on labelled radiographs."""
    plain, again = (np.array([p[kind] for p in facts.pictures]) for kind in ("source", "again"))
    found = [steady(plain, again)]
    for label in facts.watched():
        name = facts.labels[label]
        truths = [p["truth"].get(name) for p in facts.pictures]
        dark = [p["shifts"]["polarity"][label] for p in facts.pictures]
        found.append(order(name, truths, list(plain[:, label]), dark))
    return [check.as_dict() for check in found]


def _still(facts: Facts) -> list[str]:
    """Labels whose score is always the same, whatever is shown."""
    rows = [p["source"] for p in facts.pictures]
    rows += [values for p in facts.pictures for values in p["shifts"].values()]
    rows += [values for t in facts.trials for values in (*t["edited"], *t["sham"])]
    ranges = np.ptp(np.array(rows), axis=0)
    return [name for name, range_ in zip(facts.labels, ranges, strict=True) if range_ < STILL]
