# SPDX-License-Identifier: Apache-2.0
"""Axioms of counterfactuals (Monteiro et al. 2023), by method, in the decoder's own pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from monai_cxr_cf import pipeline
from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.errors import CxrError
from monai_cxr_cf.evaluation.bootstrap import interval
from monai_cxr_cf.evaluation.edits.measure import Bench
from monai_cxr_cf.evaluation.edits.protocol import Trial
from monai_cxr_cf.evaluation.rows import Row, Rows, key_of
from monai_cxr_cf.runs.run import Stages

TIMES = 10
COLUMNS = ("one null edit", f"{TIMES} null edits", "added, then removed")
NOTE = (
    "Mean L1 to the source in grey levels of 255, each edit on the 8-bit picture of the one before "
    "(first addition, first seed). F1 and MAE: raw Conf of all edits against what was asked."
)


def chains(trials: Sequence[Trial], bench: Bench, out: Path, weights: Any) -> list[Row]:
    """A row a method and radiograph, kept in ``out/axioms.jsonl``; ``trials`` of all methods."""
    kept, found = Rows(out / "axioms.jsonl"), []
    adds = [t for t in trials if not t.sham and t.edit.direction == "add"]
    for first in (t for t in adds if t.edit.group == adds[0].edit.group):
        key = key_of({"trial": first.identity, "weights": weights})
        if key not in kept:
            trial, edit = replace(first, seeds=first.seeds[:1]), first.edit
            words = " ".join(["no", *filter(None, [edit.side]), edit.finding])
            back = replace(trial, edit=replace(edit, direction="remove", prompt=words))
            null = _chain([replace(trial, sham=True)] * TIMES, bench)
            values = (null[0], null[-1], _chain([trial, back], bench)[-1])
            about = {"method": trial.settings.method, "patient": trial.input.patient}
            kept.add(key, about | dict(zip(COLUMNS, values, strict=True)))
        found.append(kept[key])
    return found


def _chain(trials: Sequence[Trial], bench: Bench) -> list[float | None]:
    """Mean L1 to the first source after each; None, and an end, where one is refused."""
    found: list[float | None] = []
    source, path = None, trials[0].input.path
    with TemporaryDirectory() as folder:
        for trial in trials:
            asked = replace(trial, input=replace(trial.input, path=path)).request()
            try:
                run, (picture,) = pipeline.edit(asked, bench.networks, Stages(), raw=True)
            except CxrError:
                return [*found, None]
            before = run.radiograph.pixels
            source = before if source is None else source
            change = picture.change if picture.raw is None else picture.raw
            after = np.rint(np.clip(before + change, 0, 1) * 255)
            found.append(round(float(np.abs(after - 255 * source).mean()), 4))
            path = str(Path(folder) / f"{len(found)}.png")
            Image.fromarray(after.astype(np.uint8)).save(path)
    return found


def table(rows: Sequence[Row], edits: Sequence[Row]) -> str:
    """``axioms.md``, of the rows of ``chains`` and of all rows of the run."""
    head = ["method", "patients", *COLUMNS, "F1", "MAE"]
    text = [NOTE, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == name]
        patients = [row["patient"] for row in mine]
        cells = [f"`{name}`", str(len(set(patients)))]
        for column in COLUMNS:
            values = [math.nan if row[column] is None else row[column] for row in mine]
            cells.append("{:.2f} [{:.2f}, {:.2f}]".format(*interval(values, patients)))
        told = [(r["direction"] == "add", r["extra"]["conf_raw"]) for r in edits
                if r.get("method", OURS) == name and r["kind"] == "edit"
                and "conf_raw" in r.get("extra", ())]  # fmt: skip
        hits = sum(a and p >= 0.5 for a, p in told)
        wrong = sum(a != (p >= 0.5) for a, p in told)
        f1 = 2 * hits / (2 * hits + wrong) if hits + wrong else math.nan
        mae = np.mean([abs(a - p) for a, p in told]) if told else math.nan
        text.append(f"| {' | '.join([*cells, f'{f1:.2f}', f'{mae:.2f}'])} |")
    return "\n".join(text).replace("nan [nan, nan]", "-").replace("nan", "-") + "\n"
