# SPDX-License-Identifier: Apache-2.0
"""A data folder and some methods in, the tables out: the same edits by each, resumable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.catalogue.row import Unit
from monai_cxr_cf.catalogue.table import TABLE
from monai_cxr_cf.data.folder import Row as Radiograph
from monai_cxr_cf.data.folder import load_image
from monai_cxr_cf.diffusion.cost.estimate import estimate, seconds_per_f
from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.evaluation.cohort import findings
from monai_cxr_cf.evaluation.edits.measure import settings_of
from monai_cxr_cf.evaluation.edits.protocol import Trial
from monai_cxr_cf.evaluation.edits.runner import Tools, run_cells
from monai_cxr_cf.evaluation.edits.store import PICTURES, read_header
from monai_cxr_cf.evaluation.edits.valid import judged
from monai_cxr_cf.evaluation.methods import axioms
from monai_cxr_cf.evaluation.methods.entries import FOREIGN, Entry, trials_of, write_asked
from monai_cxr_cf.evaluation.methods.figure import draw_cases, draw_plot
from monai_cxr_cf.evaluation.methods.page import page
from monai_cxr_cf.evaluation.methods.paper import Table, paper_lines, table1
from monai_cxr_cf.evaluation.methods.table import lines, markdown
from monai_cxr_cf.evaluation.rows import write_json, write_text
from monai_cxr_cf.runs.networks import Networks

MOST_REALS = 500  # radiographs of a class that edits are compared with


@dataclass(frozen=True)
class Cast:
    """Who takes part, and what real radiographs they are held against.

    Attributes:
        entries: of ``able``, ours first.
        why: methods that were left out, and the reason.
        data, reals: folder, and its rows of the split.
        quick: methods ran with fewer steps than published.
        axioms: chains of edits, too.
    """

    entries: tuple[Entry, ...]
    why: Mapping[str, str]
    data: Path
    reals: tuple[Radiograph, ...] = ()
    quick: bool = False
    axioms: bool = False
    notes: tuple[str, ...] = field(default=())


def hastened(entry: Entry) -> Entry:
    """The same with a quarter of the published steps, and at most three rounds."""
    published: Any = TABLE[entry.method].settings
    known, fewer = {f.name for f in fields(published)}, dict[str, Any]()
    if "steps" in known:
        fewer["steps"] = max(8, published.steps // 4)
    if isinstance(getattr(published, "skip", None), int):
        fewer["skip"] = published.skip // 4
    if "rounds" in known:
        fewer["rounds"] = 3
    if "furthest" in known:
        fewer["furthest"] = 50.0
    return replace(entry, settings={**fewer, **entry.settings})


def evaluate_methods(
    trials: Sequence[Trial], cast: Cast, out: Path, tools: Tools, *, progress: Progress
) -> dict[str, Any]:
    """Make the edits that are missing, judge all, write tables, pictures and page.

    Args:
        trials: of ``edits.inputs.choose``, with shams.
    """
    bench = tools.load(out)
    every = trials_of(trials, cast.entries)
    rows = run_cells(every, out, tools, bench=bench, progress=progress)
    write_asked(out, trials)
    header = read_header(out)
    names = [entry.method for entry in cast.entries]
    found = lines(rows, header["judges"], names)
    costs = costs_of(bench.networks, cast.entries)
    reals = real_vectors(bench.extra, cast, {row["finding"] for row in rows})
    figures = paper_lines(rows, names, reals)
    networks = {} if bench.extra is None else bench.extra.about()
    table = Table(figures, costs, networks, dict(cast.why), header, quick=cast.quick)
    write_json(out / "table.json", table.as_dict() | {"validity": found, "notes": cast.notes})
    texts = {"table1.md": table1(table), "validity.md": markdown(found, costs)}
    for name, text in texts.items():
        write_text(out / name, text)
    if cast.axioms:
        own = [trial for trial in every if trial.settings.method != FOREIGN]
        told = axioms.table(axioms.chains(own, bench, out, header["weights"]), rows)
        write_text(out / "axioms.md", told)
    kept = judged(rows, header["judges"])
    shown = draw_cases(kept, names, out / PICTURES, out / "cases.jpg")
    plotted = draw_plot(figures, out / "plot.png")
    write_text(out / "index.html", page(table, found, out, cases=shown, plot=plotted))
    return json_of(table, found)


def json_of(table: Table, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``--json`` prints."""
    return table.as_dict() | {"validity": list(found)}


def minutes(trials: Sequence[Trial], entries: Sequence[Entry], networks: Networks) -> float:
    """Of all edits in one process: F of each by the seconds of one; no judging."""
    each, total = costs_of(networks, entries), 0.0
    speed = {spec: seconds_per_f(networks.backbone(spec)) for spec in {e.backbone for e in entries}}
    for trial in trials_of(trials, entries):
        spec, f = trial.settings.backbone, each[trial.settings.method]
        if f is None:
            f = estimate(networks.backbone(spec), settings_of(trial, networks)).f
        total += f * speed[spec] * len(trial.seeds)
    return total / 60


def real_vectors(extra: Any, cast: Cast, asked: set[str]) -> dict[str, Any]:
    """Vectors and patients of real radiographs that carry a finding, by finding."""
    found: dict[str, Any] = {}
    for finding in sorted(asked) if extra is not None else []:
        rows = [row for row in cast.reals if finding in findings(row)][:MOST_REALS]
        if rows:
            images = [load_image(cast.data, row) for row in rows]
            found[finding] = (extra.features.vectors(images), [row.patient for row in rows])
    return found


def costs_of(networks: Networks, entries: Sequence[Entry]) -> dict[str, float | None]:
    """F of an edit on each method's backbone, at its settings; None where the preset decides."""
    found: dict[str, float | None] = {}
    for entry in entries:
        row, backbone = TABLE[entry.method], networks.backbone(entry.backbone)
        r, formula = ratios(backbone), row.most or row.cost
        unit = Unit(r.encode, r.decode, kind=backbone.kind, backward=r.backward(""))
        settings = row.settings.with_values(entry.settings)
        found[entry.method] = None if formula is None else round(formula(settings, unit), 1)
    return found
