# SPDX-License-Identifier: Apache-2.0
"""audit.json, rows.csv and index.html of an audit, each replaced at once; no time is in them."""

import csv
import io
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from monai_cxr_cf.audit.figures.facts import Facts
from monai_cxr_cf.audit.report.page import html
from monai_cxr_cf.audit.report.pictures import examples
from monai_cxr_cf.audit.trials import Found
from monai_cxr_cf.batch.store.files import save_json, save_text

JSON, TABLE, PAGE = "audit.json", "rows.csv", "index.html"
COLUMNS = ("radiograph", "patient", "edit", "verdict", "proven", "failed_checks", "score",
           "source", "edited", "sham", "flip", "flip_level", "flip_area")  # fmt: skip


def write_report(out: Path, told: Mapping[str, Any], facts: Facts, found: Found) -> None:
    """Write the three files into ``out``."""
    save_json(out / JSON, told)
    save_text(out / TABLE, table(facts))
    save_text(out / PAGE, html(told, examples(facts, found)))


def table(facts: Facts) -> str:
    """Every trial with every score that it should move, as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for trial in facts.trials:
        flip = trial.get("flip") or {}
        for label in facts.scored(trial["finding"]):
            scores = (trial["source"], trial["edited"][-1], trial["sham"][-1])
            writer.writerow(
                [trial["id"], trial["patient"], trial["name"], trial["verdict"],
                 trial["proven"], " ".join(trial["why"]), facts.labels[label],
                 *(values[label] for values in scores),
                 flip.get("kind", ""), flip.get("level"), flip.get("area")]
            )  # fmt: skip
    return stream.getvalue()


def schema() -> dict[str, Any]:
    """The JSON schema of audit.json."""
    path = resources.files("monai_cxr_cf") / "schemas" / "audit.schema.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
