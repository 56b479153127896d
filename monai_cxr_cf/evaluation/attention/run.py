# SPDX-License-Identifier: Apache-2.0
"""A backbone, a data folder and a plan in, the whole census out: rows, tables, pictures.

One row is one radiograph, prompt and timestep, and is kept on disk: a second start goes on. The
answer, which tokens carry a finding here, lands in ``census.json`` (docs/evaluation.md 9).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.diffusion.attention.census import carrier_of, measure
from monai_cxr_cf.diffusion.attention.groups import MEASURED
from monai_cxr_cf.diffusion.cost.estimate import seconds_per_f
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.evaluation.attention.asked import Asked
from monai_cxr_cf.evaluation.attention.bench import Bench, Plan, bench_for
from monai_cxr_cf.evaluation.attention.pictures import draw_maps, draw_table
from monai_cxr_cf.evaluation.attention.table import table_text, tabulate
from monai_cxr_cf.evaluation.cohort import held_out, without_findings
from monai_cxr_cf.evaluation.rows import Rows, key_of, weights_of, write_json, write_text
from monai_cxr_cf.runs.networks import CENSUS, Networks

COLUMNS = ("id", "patient")
PASSES = 32  # of the UNet a row, about
VERSION = 1


def evaluate_attention(
    data: Path,
    out: Path,
    plan: Plan,
    *,
    networks: Networks,
    progress: Progress,
    announce: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Measure what is missing and write tables and pictures into ``out``.

    Raises:
        BadRequest: a timestep that the backbone does not have; no radiograph of the split.
    """
    bench = bench_for(data, plan, networks.backbone(plan.backbone))
    rows = chosen(held_out(data, plan.split, COLUMNS), plan.images)
    found = _measured(bench, rows, out, progress, announce)
    table = tabulate(found)
    without = {entry["finding"]: _share(entry) for entry in table}
    result = {
        "version": VERSION,
        "backbone": bench.backbone.name,
        "weights": weights_of(bench.backbone),
        "carrier": carrier_of(without),
        "plan": {**asdict(plan), "asked": [asked.text for asked in plan.asked]},
        "radiographs": [row.id for row in rows],
        "table": table,
    }
    write_json(out / "table.json", result)
    write_text(out / "table.md", table_text(result) + "\n")
    told = {k: result[k] for k in ("version", "backbone", "carrier")}
    write_json(
        out / CENSUS, {**told, "files": dict(bench.backbone.files), "finding_words": without}
    )
    draw_table(table, out / "census.png")
    draw_maps(bench, rows[0], networks.segmenter(plan.segmenter), out / "attention.png")
    return result


def chosen(rows: Sequence[Row], count: int) -> list[Row]:
    """One radiograph a patient, in an order fixed by hashes; those without findings first."""
    order = sorted(rows, key=lambda row: hashlib.sha256(row.id.encode()).digest())
    one: dict[str, Row] = {}
    for row in sorted(order, key=lambda row: not without_findings(row)):
        one.setdefault(row.patient, row)
    return list(one.values())[:count]


def _measured(
    bench: Bench,
    rows: Sequence[Row],
    out: Path,
    progress: Progress,
    announce: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One measured row per radiograph, prompt and timestep."""
    plan, kept = bench.plan, Rows(out / "rows.jsonl")
    common = {"weights": weights_of(bench.backbone), "seed": plan.seed, "source": plan.source}
    common |= {"version": VERSION, "dtype": str(bench.backbone.dtype), "side": bench.backbone.side}
    jobs = [(row, asked, t) for row in rows for asked in plan.asked for t in plan.timesteps]
    groups = {asked: asked.groups(bench.backbone.tokenizer) for asked in plan.asked}
    about = ({"id": r.id, "prompt": a.text, "groups": groups[a], "t": t} for r, a, t in jobs)
    keys = [key_of({**common, **one}) for one in about]
    missing = sum(key not in kept for key in keys)
    if missing:
        minutes = missing * PASSES * seconds_per_f(bench.backbone) / 60
        announce(
            f"{len(jobs)} measurements ({len(rows)} radiographs, {len(plan.asked)} prompts, "
            f"{len(plan.timesteps)} timesteps), {missing} to make: about {minutes:.1f} minutes."
        )
    began, made = time.monotonic(), 0
    for number, ((row, asked, t), key) in enumerate(zip(jobs, keys, strict=True)):
        if key not in kept:
            kept.add(key, _row(bench, row, asked, t))
            made += 1
        left = (missing - made) * (time.monotonic() - began) / max(made, 1)
        event = {"stage": "attention", "step": number + 1, "total": len(jobs)}
        progress({**event, "eta_s": round(left), "words": f"{asked.finding}, t {t}"})
    return [kept[key] for key in keys]


def _row(bench: Bench, row: Row, asked: Asked, t: int) -> dict[str, Any]:
    texts = bench.texts(asked)
    found = measure(bench.backbone.unet, bench.latent(row, t), t, texts)
    about: dict[str, Any] = {"input": row.id, "patient": row.patient, "finding": asked.finding}
    tokens = {name: len(where) for name, where in texts.measured().items()}
    about |= {"prompt": asked.text, "timestep": t, "tokens": tokens}
    return {**about, **json.loads(json.dumps(asdict(found)))}  # keys as a row read back has them


def _share(entry: dict[str, Any]) -> float | None:
    """The effect that goes with the finding's own words."""
    own = next(row for row in entry["groups"] if row["group"] == MEASURED[1])
    return None if own["without"] is None else float(own["without"][0])
