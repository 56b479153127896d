# SPDX-License-Identifier: Apache-2.0
"""Rows of several methods in, Table 1 out: Conf, CLIP-I, LPIPS, SSIM and set distances.

Each figure of the composite and of the decoder's own picture; differences to ours over the same
edits; the paper's own figures beside, quoted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.evaluation.bootstrap import interval, paired_interval
from monai_cxr_cf.evaluation.edits.extra import unpack
from monai_cxr_cf.evaluation.edits.words import number
from monai_cxr_cf.evaluation.methods.sets import compare, identity

Row = Mapping[str, Any]
Figure = list[float | None]
# figure -> heading; with _raw the decoder's own picture
FIRST = {
    "conf": "Conf", "conf_raw": "Conf, raw", "conf_before": "Conf of sources",
    "conf_sham": "Conf of shams", "clip_i": "CLIP-I", "clip_i_raw": "CLIP-I, raw",
    "lpips": "LPIPS", "lpips_raw": "LPIPS, raw", "ssim": "SSIM", "ssim_raw": "SSIM, raw",
}  # fmt: skip
SECOND = {
    "mean_shift_region": "change in region", "beyond": "change outside, raw",
    "inside_share": "share inside", "ssim_inside": "SSIM inside", "ssim_band_raw": "band, raw",
    "ssim_outside_raw": "outside, raw", "psnr_inside": "PSNR inside",
    "psnr_outside_raw": "outside, raw", "composition": "L1 of a null edit, raw",
    "collateral": "others rise", "identity": "identity",
}  # fmt: skip
SETS = ("frechet", "floor", "kid", "precision", "recall", "density", "coverage")
LESS = ("conf", "conf_raw", "clip_i_raw", "lpips_raw", "ssim_raw", "beyond")
SHAM, RISE = ("conf_sham", "composition"), 0.1
LIMIT = 0.8  # AUC of a Conf network, below which its column says little
# arXiv 2603.04130, Table 1: Conf, CLIP-I, LPIPS, FID; other data, other networks.
PAPER = {
    "SD-inpainting": (0.662, 0.827, 0.23, 37.6), "BiomedJourney": (0.693, 0.868, 0.19, 30.8),
    "ProgEmu": (0.701, 0.866, 0.17, 28.4), "PIE": (0.691, 0.842, 0.18, 29.7),
    "the paper's": (0.709, 0.870, 0.18, 29.0),
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Everything that Table 1 says."""

    lines: Sequence[Mapping[str, Any]]
    costs: Mapping[str, float | None]
    networks: Mapping[str, Any]
    left_out: Mapping[str, str]
    header: Mapping[str, Any]
    quick: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"table1": list(self.lines), "f": dict(self.costs), "quick": self.quick,
                "networks": dict(self.networks), "left_out": dict(self.left_out),
                "paper": PAPER, **self.header}  # fmt: skip


def paper_lines(
    rows: Sequence[Row], names: Sequence[str], reals: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A line per method and direction: figures with intervals, less ours, set distances."""
    found, ours = [], {}
    for name in names:
        mine = [row for row in rows if row.get("method", OURS) == name]
        for direction in ("add", "remove"):
            here = [r for r in mine if r.get("direction") == direction and "extra" in r]
            edits = [row for row in here if row["kind"] == "edit"]
            if not edits:
                continue
            if name == OURS:
                ours[direction] = {_edit(row): row for row in edits}
            theirs = ours.get(direction, {})
            line = _line(edits, [r for r in here if r["kind"] == "sham"])
            line |= {"method": name, "direction": direction}
            line["refused"] = sum("refused" in row for row in mine)
            line["less_ours"] = {} if name == OURS else _less(edits, theirs)
            if direction == "add":
                line["sets"] = _sets(edits, reals)
            found.append(line)
    return found


def value(row: Row, key: str) -> float:
    """One figure of a row; NaN where it was not measured."""
    if key == "collateral":
        return _collateral(row)
    key = {"conf_sham": "conf", "composition": "l1_raw"}.get(key, key)
    found = row["extra"].get(key, row.get(key))
    return math.nan if found is None else float(found)


def _collateral(row: Row) -> float:
    """Whether any other finding rose by more than .1 for J2."""
    before, after = row.get("j2_before"), row.get("j2_after")
    if before is None or after is None:
        return math.nan
    others = [after[n] - before[n] for n in before if n != row["finding"]]
    return float(max(others, default=0) > RISE)


def _line(edits: Sequence[Row], shams: Sequence[Row]) -> dict[str, Any]:
    figures = {}
    for key in (*FIRST, *SECOND, "seconds"):
        if key != "identity":
            chosen = shams if key in SHAM else edits
            values = [value(row, key) for row in chosen]
            figures[key] = _rounded(interval(values, [row["patient"] for row in chosen]))
    made, source = (
        unpack([row["extra"][k] for row in edits]).astype(np.float64)
        for k in ("vector_raw", "vector_source")
    )
    near = identity(made, source, [row["input"] for row in edits])
    figures["identity"] = [None if near is None else round(near, 4), None, None]
    patients = len({row["patient"] for row in edits})
    return {"edits": len(edits), "patients": patients, "figures": figures}


def _less(edits: Sequence[Row], ours: Mapping[Any, Row]) -> dict[str, Figure]:
    """Differences over the edits that both made."""
    pairs = [(row, ours[_edit(row)]) for row in edits if _edit(row) in ours]
    if not pairs:
        return {}
    patients = [row["patient"] for row, _ in pairs]
    return {key: _rounded(paired_interval(*_columns(pairs, key), patients)) for key in LESS}


def _columns(pairs: Sequence[tuple[Row, Row]], key: str) -> tuple[list[float], list[float]]:
    return [value(a, key) for a, _ in pairs], [value(b, key) for _, b in pairs]


def _sets(edits: Sequence[Row], reals: Mapping[str, Any]) -> dict[str, Any]:
    """Distances to real radiographs of the asked findings, of both pictures."""
    known = [row for row in edits if row["finding"] in reals]
    asked = sorted({row["finding"] for row in known})
    if not asked:
        return {}
    vectors = np.concatenate([reals[name][0] for name in asked]).astype(np.float64)
    patients = [patient for name in asked for patient in reals[name][1]]
    kinds = {"composite": "vector", "raw": "vector_raw"}
    mine = {what: unpack([r["extra"][key] for r in known]) for what, key in kinds.items()}
    return {what: compare(x.astype(np.float64), vectors, patients) for what, x in mine.items()}


def _edit(row: Row) -> tuple[Any, ...]:
    return row["input"], row["group"], row["seed"]


def _rounded(values: Sequence[float]) -> Figure:
    return [None if math.isnan(v) else round(float(v), 4) for v in values]


def table1(table: Table) -> str:
    """Table 1 as Markdown, with what its columns mean, networks, and what was left out."""
    text = [NOTE, *(["", QUICK] if table.quick else []), ""]
    for direction, title in (("add", "Additions"), ("remove", "Removals")):
        here = [line for line in table.lines if line["direction"] == direction]
        if here:
            text += [f"## {title}", "", *_grid(here, FIRST, table.costs), ""]
            text += [*_grid(here, SECOND, None), "", *_less_grid(here), ""]
        if any(line.get("sets") for line in here):
            text += ["## Sets of pictures, additions", "", *_sets_grid(here), ""]
    text += ["## As published, on other data", "", "| | Conf | CLIP-I | LPIPS | FID |",
             "|---" * 5 + "|"]  # fmt: skip
    text += [f"| {name} | {' | '.join(f'{v:g}' for v in row)} |" for name, row in PAPER.items()]
    text += ["", "## Who measured", "", *networks_text(table.networks), ""]
    text += [f"- Left out: `{name}` {why}." for name, why in table.left_out.items()]
    others = {k: v for k, v in table.header["weights"].items() if k not in table.networks}
    text += ["", *(f"- {name}: {digest[:16]}" for name, digest in sorted(others.items()))]
    return "\n".join(text) + "\n"


NOTE = (
    "Conf: mean probability of the asked finding in the picture. CLIP-I: cosine of picture and "
    "source. LPIPS, SSIM: picture and source. Raw: of the decoder's own picture; the others are of "
    "the composite, which flatters every method alike. Shams: the same settings without words. "
    "Less ours: the same edits, paired. Brackets: 95 % intervals over patients. A dash: not "
    "measured. No radiologist judged."
)
QUICK = "**Quick: published methods ran with a quarter of their steps.** Not for comparisons."


def networks_text(networks: Mapping[str, Any]) -> list[str]:
    """One line a network: name, digest, AUC on real radiographs where it is known."""
    found = []
    for what, told in networks.items():
        auc = told.get("auc")
        known = "" if auc is None else f"; AUC {auc:.2f}"
        weak = ", below .80: this column says little" if auc is not None and auc < LIMIT else ""
        found.append(f"- {what}: {told['name']} ({told['sha256'][:16]}){known}{weak}")
    return found


def _grid(
    lines: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    costs: Mapping[str, float | None] | None,
) -> list[str]:
    end = [] if costs is None else ["F", "s", "refused"]
    head = ["method", "edits", "patients", *columns.values(), *end]
    text = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for line in lines:
        cells = [f"`{line['method']}`", str(line["edits"]), str(line["patients"])]
        cells += [_cell(line["figures"][key]) for key in columns]
        if costs is not None:
            cost = costs.get(line["method"])
            cells += ["by preset" if cost is None else f"{cost:.0f}"]
            cells += [number(line["figures"]["seconds"][0], 1), str(line["refused"])]
        text.append(f"| {' | '.join(cells)} |")
    return text


def _less_grid(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    names: dict[str, str] = {**FIRST, **SECOND}
    return _listed(
        [f"{names[key]}, less ours" for key in LESS],
        [(line, [_cell(line["less_ours"].get(k, [])) for k in LESS])
         for line in lines if line["less_ours"]],
    )  # fmt: skip


def _sets_grid(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for line in lines:
        for what, told in line.get("sets", {}).items():
            cells = [what, str(told.get("n", "-")), str(told.get("dimensions", "-"))]
            cells += [_cell(told["frechet"]) if told else "-"]
            cells += [number(told.get(key), 3) for key in SETS[1:]]
            rows.append((line, cells))
    return _listed(["picture", "N", "dimensions", "Frechet", *SETS[1:]], rows)


def _listed(
    columns: Sequence[str], rows: Sequence[tuple[Mapping[str, Any], Sequence[str]]]
) -> list[str]:
    head = ["method", *columns]
    text = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    named = [[f"`{line['method']}`", *cells] for line, cells in rows]
    return text + [f"| {' | '.join(cells)} |" for cells in named]


def _cell(figure: Sequence[float | None], places: int = 3) -> str:
    if not figure or figure[0] is None:
        return "-"
    if len(figure) < 3 or figure[1] is None:
        return number(figure[0], places)
    return "{} [{}, {}]".format(*(number(v, places) for v in figure))
