# SPDX-License-Identifier: Apache-2.0
"""A data folder and some methods in, one table out: the same edits by each, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cxr_cf.catalogue.row import Unit
from monai_cxr_cf.catalogue.table import OURS, TABLE
from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.edits.protocol import Trial
from monai_cxr_cf.evaluation.edits.runner import Tools, run_cells
from monai_cxr_cf.evaluation.edits.store import read_header
from monai_cxr_cf.evaluation.methods.table import lines, markdown
from monai_cxr_cf.evaluation.rows import write_json, write_text


def able(backbone: Backbone, wanted: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Methods that can run on a backbone, ours first, and why the others cannot.

    Args:
        wanted: names; empty means all.

    Raises:
        BadRequest: none of them can.
    """
    names = [OURS, *(name for name in (wanted or TABLE) if name != OURS)]
    found, why = [], {}
    for name in names:
        row = TABLE[name]
        if "results" in row.needs:
            why[name] = "shows finished pictures; give them to cxr-cf edit"
        elif backbone.kind not in row.kinds:
            why[name] = f"runs on another kind of UNet than '{backbone.name}' has"
        else:
            found.append(name)
    if wanted and not set(wanted) & set(found):
        raise BadRequest("None of these methods can run: " + "; ".join(why.values()) + ".")
    return found, why


def trials_of(trials: Sequence[Trial], methods: Sequence[str]) -> list[Trial]:
    """The same trials for every method, those of one radiograph and edit side by side.

    A method that cannot remove has none of the removals.
    """
    return [
        replace(trial, settings=replace(trial.settings, method=name))
        for trial in trials
        for name in methods
        if TABLE[name].removes or trial.edit.direction != "remove"
    ]


def evaluate_methods(
    trials: Sequence[Trial],
    methods: Sequence[str],
    out: Path,
    tools: Tools,
    *,
    why: dict[str, str],
    progress: Progress,
) -> dict[str, Any]:
    """Make the edits that are missing, judge all, write ``table.md`` and ``table.json``.

    Args:
        trials: of ``edits.inputs.choose``, with shams.
        methods: of ``able``.
        why: methods that were left out, and the reason.
    """
    bench = tools.load(out)
    rows = run_cells(trials_of(trials, methods), out, tools, bench=bench, progress=progress)
    header = read_header(out)
    found = lines(rows, header["judges"], methods)
    costs = costs_of(bench.networks.backbone(trials[0].settings.backbone), methods)
    table = {"lines": found, "f": costs, "left_out": why, **header}
    write_json(out / "table.json", table)
    left = "".join(f"\nLeft out: `{name}` {reason}.\n" for name, reason in why.items())
    write_text(out / "table.md", markdown(found, costs) + left)
    return table


def costs_of(backbone: Backbone, methods: Sequence[str]) -> dict[str, float | None]:
    """F of an edit on a backbone at the published settings; None where the preset decides."""
    r = ratios(backbone)
    unit = Unit(r.encode, r.decode, kind=backbone.kind, backward=r.backward(""))
    rows = {name: TABLE[name] for name in methods}
    return {
        name: None if row.cost is None else round((row.most or row.cost)(row.settings, unit), 1)
        for name, row in rows.items()
    }
