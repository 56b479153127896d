# SPDX-License-Identifier: Apache-2.0
"""A finished run in, the output folder out: DICOM files, pictures, report; and the verdict.

Last step of ``pipeline``; the writers themselves live in ``dicom.writing`` and ``pictures``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.catalogue.table import OURS
from monai_cxr_cf.dicom.record import Member, OutputOptions, RunRecord, WrittenFile
from monai_cxr_cf.dicom.writing.difference import outside_max_diff, write_differences
from monai_cxr_cf.dicom.writing.fileio import written_file
from monai_cxr_cf.dicom.writing.plain_png import write_plain
from monai_cxr_cf.dicom.writing.plan import OutputPlan, plan_output
from monai_cxr_cf.dicom.writing.report import write_report
from monai_cxr_cf.dicom.writing.seg import write_segmentation
from monai_cxr_cf.dicom.writing.sr import write_structured_report
from monai_cxr_cf.dicom.writing.write import write_counterfactuals
from monai_cxr_cf.diffusion.modes import ensemble
from monai_cxr_cf.judges import verdict
from monai_cxr_cf.judges.evidence import Evidence, Opinion
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import VERDICT_JUDGE
from monai_cxr_cf.runs.record import record_of, region_in_words
from monai_cxr_cf.runs.remembered import opinion_of
from monai_cxr_cf.runs.run import Outcome, Picture, Run

Mask = NDArray[np.bool_]
Ask = Callable[[NDArray[np.float32]], Opinion | None]
CHANGED = 4 / 255  # a pixel counts as changed in P(|change| > tau) of a seed ensemble


@dataclass
class Writing:
    """A run on its way to disk: judged and planned, and the files written so far."""

    run: Run
    pictures: Sequence[Picture]
    plan: OutputPlan
    masks: Mapping[str, Mask]  # on the source's own pixels
    files: list[WrittenFile] = field(default_factory=list)


def write_all(run: Run, pictures: Sequence[Picture], folder: Path, *, arrays: bool) -> Outcome:
    """Write every file of a run into ``folder``.

    Args:
        run: what was done.
        pictures: the members of the series, in order.
        folder: an empty folder.
        arrays: also write ``masks.npz``.
    """
    writing = prepare(run, pictures)
    write_images(writing, folder)
    write_masks(writing, folder)
    return write_records(writing, folder, arrays=arrays)


def prepare(run: Run, pictures: Sequence[Picture]) -> Writing:
    """Judge every picture and fix what the files will say; nothing is written yet."""
    outside = [outside_of(run, picture) for picture in pictures]
    ask = classifier(run)
    verdicts = [judge(run, p, outside=o, ask=ask) for p, o in zip(pictures, outside, strict=True)]
    metrics = {
        "outside_max_diff": max(outside, default=0),
        "members": [
            {"label": p.label, "outside_max_diff": o, "verdict": v["verdict"], **_size(p, run)}
            for p, o, v in zip(pictures, outside, verdicts, strict=True)
        ],
    }
    record = record_of(run, metrics=metrics, verdict=verdicts[main_member(run)])
    options = OutputOptions(run.request.iod, run.request.uids, run.request.burn_in)
    back = run.radiograph.turn.undo  # outputs lie as the source's own pixels do
    members = [Member(back(p.stored), p.label) for p in pictures]
    plan = plan_output(run.radiograph.as_stored(), members, record=record, options=options)
    masks = {**run.scene.organs.as_dict(), "edit_region": run.case.region}
    masks["edit_band"] = run.case.band
    return Writing(run, pictures, plan, {name: back(mask) for name, mask in masks.items()})


def write_images(writing: Writing, folder: Path) -> None:
    """The counterfactual series: ``cf/0001.dcm`` and on."""
    writing.files += write_counterfactuals(writing.plan, folder)


def write_masks(writing: Writing, folder: Path) -> None:
    """Organs, region and band: ``seg.dcm``."""
    writing.files.append(write_segmentation(writing.plan, writing.masks, folder))


def write_records(writing: Writing, folder: Path, *, arrays: bool) -> Outcome:
    """Difference series, structured report, pictures and, last, ``report.json`` with all files."""
    run, plan, record, files = writing.run, writing.plan, writing.plan.record, writing.files
    files += write_differences(plan, folder)
    files.append(write_structured_report(plan, files, folder))
    files += draw(run, writing.pictures, record, folder)
    if run.request.png:
        files += write_plain(plan, folder, whole=run.config.output.composite == "none")
    if arrays:
        changes = [run.radiograph.turn.undo(picture.change) for picture in writing.pictures]
        files.append(write_arrays(changes, writing.masks, folder))
    files.append(write_report(plan, files, folder))
    warnings = (*run.radiograph.warnings, *record.warnings, *plan.warnings)
    return Outcome(
        tuple(files), record.metrics, record.verdict, warnings,
        folder / "report.json", dict(run.stages.seconds),
        plan.radiograph, tuple(member.stored for member in plan.members), writing.masks,
    )  # fmt: skip


def main_member(run: Run) -> int:
    """The member that stands for the series: highest level of the first seed."""
    levels = run.request.levels or (1.0,)
    return levels.index(max(levels))


def judge(run: Run, picture: Picture, *, outside: int, ask: Ask) -> dict[str, Any]:
    """The verdict on one counterfactual; its organs are found by the same segmenter.

    Args:
        outside: largest change outside region and band, stored units.
        ask: what a classifier says about a counterfactual.
    """
    edited = np.clip(run.radiograph.pixels + picture.change, 0, 1)
    segmenter = run.networks.segmenter(run.request.segmenter)
    valid, aspect = run.radiograph.valid, run.radiograph.aspect
    after = segmenter(edited, valid, aspect=aspect).organs
    evidence = Evidence(
        source=run.radiograph.pixels,
        change=picture.change,
        expected=run.case.expected(),
        before=run.scene.found.as_dict(),
        after=after.as_dict(),
        outside_max_diff=outside,
        opinion=ask(edited),
    )
    return verdict.judge(evidence)


def classifier(run: Run) -> Ask:
    """Opinions of the classifier J1, which reads the source once; None where J1 is not shipped."""
    judge_ = run.networks.judge(VERDICT_JUDGE)
    if judge_ is None:
        return lambda edited: None
    before = opinion_of(run.radiograph, judge_, run.networks.memory)
    auc = {name: found["auc"] for name, found in judge_.auc.items()}
    view = run.radiograph.view
    counts = frozenset(name for name in judge_.findings if judge_.counts(name, view))

    def ask(edited: NDArray[np.float32]) -> Opinion:
        after = judge_.read(edited)
        return Opinion(judge_.name, judge_.sha256, before, after, auc, counts)

    return ask


def outside_of(run: Run, picture: Picture) -> int:
    """Largest change outside region and feathered band, stored units."""
    allowed = (
        (run.case.region, run.case.band)
        if run.config.output.composite != "none"
        else (run.case.region,)
    )
    return outside_max_diff(picture.stored, run.radiograph.stored, allowed)


def _size(picture: Picture, run: Run) -> dict[str, float]:
    inside = picture.change[run.case.region]
    return {
        "mean_change_in_region": round(float(inside.mean()) * 255, 3),
        "mean_abs_change_in_region": round(float(np.abs(inside).mean()) * 255, 3),
    }


def draw(
    run: Run, pictures: Sequence[Picture], record: RunRecord, folder: Path
) -> list[WrittenFile]:
    """``preview.png`` of the main member, ``trace.png`` of the run, ``sheet.png`` of a series."""
    from monai_cxr_cf.runs import pictures as panels
    from monai_cxr_cf.runs.trace_picture import trace_figure

    shown = pictures[main_member(run)]
    data = panels.PreviewData(
        source=run.radiograph.pixels,
        region=run.case.region,
        band=run.case.band,
        change=shown.change,
        caption=caption(run, record),
        organs=run.scene.organs.as_dict(),
    )
    panels.preview(data, folder / "preview.png")
    trace_figure(record.trace, folder / "trace.png")
    roles = ["preview", "trace"]
    if len(pictures) > 1:
        draw_sheet(run, pictures, record, folder)
        roles.append("sheet")
    return [written_file(role, folder / f"{role}.png") for role in roles]


def draw_sheet(run: Run, pictures: Sequence[Picture], record: RunRecord, folder: Path) -> None:
    """``sheet.png``: every member of the series with its verdict, mean change, P(changed)."""
    from monai_cxr_cf.runs.sheet import Series, sheet

    judged = [member["verdict"] for member in record.metrics["members"]]
    series = Series(
        source=run.radiograph.pixels,
        region=run.case.region,
        changes=[picture.change for picture in pictures],
        labels=[f"{p.label}: {told}" for p, told in zip(pictures, judged, strict=True)],
        levels=len(run.request.levels or (1.0,)),
        tau=CHANGED,
        caption=caption(run, record)[:1],
    )
    sheet(series, folder / "sheet.png")


def caption(run: Run, record: RunRecord) -> tuple[str, ...]:
    """Lines under the preview."""
    found = "; ".join(str(finding) for finding in record.findings)
    outside = record.metrics["outside_max_diff"]
    return (
        f"{found} | region: {region_in_words(run)}",
        f"strength {record.strength:g} | seed {record.seeds[0]} | {_who(run.request)} | "
        f"largest change outside: {outside} stored units",
        str(record.verdict["words"]),
    )


def _who(request: EditRequest) -> str:
    """By which settings: ours by a preset, a method beside it by its own."""
    if request.method == OURS:
        return f"preset {request.preset}"
    return f"method {request.method}"


def write_arrays(
    members: Sequence[NDArray[np.float32]], masks: Mapping[str, Mask], folder: Path
) -> WrittenFile:
    """``masks.npz``: masks, changes, and over several members their mean, std and P(changed)."""
    changes = np.stack(members)
    found: dict[str, NDArray[Any]] = {**masks, "change": changes}
    if len(members) > 1:
        maps = ensemble(changes, tau=CHANGED)
        found |= {
            "change_mean": maps.mean,
            "change_std": maps.std,
            "change_probability": maps.exceed,
        }
    np.savez_compressed(folder / "masks.npz", **found)  # type: ignore[arg-type]
    return written_file("arrays", folder / "masks.npz")
