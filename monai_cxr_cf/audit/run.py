# SPDX-License-Identifier: Apache-2.0
"""An audit from a folder and a classifier to its report: plan, edit, score, figure, write.

Every step goes on where a stopped run left it; the same inputs give the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import monai_cxr_cf
from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.adapters.load import digest_of
from monai_cxr_cf.audit.checks import same_across_files
from monai_cxr_cf.audit.cohort import Chosen
from monai_cxr_cf.audit.figures.analyse import analyse
from monai_cxr_cf.audit.figures.facts import Facts
from monai_cxr_cf.audit.measuring.score import Record, measure_picture, measure_trial
from monai_cxr_cf.audit.measuring.trial import Picture
from monai_cxr_cf.audit.plan import Edits, check_grown, rows_of, write_manifest
from monai_cxr_cf.audit.report.write import write_report
from monai_cxr_cf.audit.store import Scores
from monai_cxr_cf.audit.trials import Found, find_pairs, trials
from monai_cxr_cf.audit.words import page
from monai_cxr_cf.batch.begin import BadRows, Plan, lay_out
from monai_cxr_cf.batch.edit_work import EditWork
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.rows.manifest import file_sha256
from monai_cxr_cf.batch.run import Engine, on_this_machine
from monai_cxr_cf.batch.run import run as run_batch
from monai_cxr_cf.batch.store.results import Line
from monai_cxr_cf.batch.store.run_folder import RunFolder
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.errors import BadRequest, ComponentMissing, UnreadableInput, UnsupportedImage
from monai_cxr_cf.judges.classifier import Judge, load_judge

SECOND = "j2"  # heard where the audited classifier is the verdict's own
SCHEMA = 1
_NOTHING = np.zeros((0, 0), np.float32)
Tell = Callable[[Sequence[Line]], None]
Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Audit:
    """What is audited, on what, how."""

    out: Path
    chosen: Sequence[Chosen]
    edits: Edits
    common: Mapping[str, Any] = field(default_factory=dict)  # fields of every edit
    work: EditWork = field(default_factory=EditWork)
    how: How = field(default_factory=How)
    margin: float = 0.05
    group: int = 5

    @property
    def folder(self) -> RunFolder:
        """Where the edits lie."""
        return RunFolder(self.out / "edits")

    @property
    def manifest(self) -> Path:
        """The rows of the edits."""
        return self.out / "manifest.jsonl"


def lay_out_edits(audit: Audit) -> None:
    """Write the manifest and lay out its batch, or find both as they were."""
    rows, begun = rows_of(audit.chosen, audit.edits), audit.folder.begun()
    if begun:
        check_grown(audit.manifest, rows)
    audit.out.mkdir(parents=True, exist_ok=True)
    write_manifest(audit.manifest, rows)
    work, how = audit.work, audit.how
    settings = {"device": work.device, "precision": work.precision, "compiled": work.compiled,
                "threads": how.threads, "arrays": False}  # fmt: skip
    try:
        lay_out(audit.folder, Plan(audit.manifest, common=audit.common, settings=settings))
    except BadRows as error:  # one of them says it; its rows are ours, not the user's
        if not begun:
            audit.manifest.unlink()
        raise BadRequest(error.bad[0].message, hint="See --field.") from error


def edit(audit: Audit, tell: Tell, engine: Engine = on_this_machine) -> str:
    """Make the edits that are missing; returns why it stopped before the end, or ""."""
    return run_batch(audit.folder, audit.work, audit.how, tell=tell, engine=engine).stopped


def score(audit: Audit, classifier: Classifier, progress: Progress) -> tuple[Facts, Found]:
    """Score every radiograph and every trial that is not scored yet."""
    kept, found = Scores(audit.out, digest_of(classifier)), find_pairs(audit.folder)
    total, done = len(audit.chosen) + len(found.pairs), 0
    pictures: dict[str, Picture] = {}
    records: list[Record] = []
    for chosen in audit.chosen:
        progress({"stage": "scores", "step": done, "total": total})
        record = _picture(classifier, chosen, kept, pictures)
        records += [] if record is None else [record]
        done += 1
    left = [pair for pair in found.pairs if pair.key not in kept.known]
    done += len(found.pairs) - len(left)
    for pair, trial in trials(left, pictures, classifier.sha256, _second(classifier)):
        progress({"stage": "scores", "step": done, "total": total})
        kept.add(pair.key, measure_trial(classifier, trial))
        done += 1
    progress({"stage": "scores", "step": total, "total": total})
    if not records:
        raise BadRequest("None of the radiographs can be read.", hint="Try cxr-cf read on one.")
    thresholds = {name: classifier.declared.threshold(name) for name in classifier.labels}
    scored = [_with_group(kept.known[pair.key], pictures) for pair in found.pairs]
    return Facts(classifier.labels, records, scored, thresholds, audit.margin, audit.group), found


def _picture(
    classifier: Classifier, chosen: Chosen, kept: Scores, pictures: dict[str, Picture]
) -> Record | None:
    """The record of a radiograph; None for one that the reader refuses."""
    key = f"{chosen.id} {file_sha256(Path(chosen.path))[:32]}"
    truth = chosen.truth(classifier.labels)
    known = Picture(chosen.id, chosen.patient, _NOTHING, chosen.group, truth)
    pictures[chosen.id] = known
    if key not in kept.known:
        kept.add(key, _scored(classifier, chosen))
    found = kept.known[key]
    return {**found, "group": dict(chosen.group), "truth": truth} if found else None


def _scored(classifier: Classifier, chosen: Chosen) -> Record:
    """The scores of a radiograph; {} if the reader refuses it: its edits count as refused."""
    try:
        source = read_source(chosen.path, chosen.reading)
    except (UnreadableInput, UnsupportedImage):
        return {}
    record = measure_picture(classifier, Picture(chosen.id, chosen.patient, source.pixels))
    return {**record, "files": same_across_files(classifier, source).as_dict()}


def _with_group(record: Record, pictures: Mapping[str, Picture]) -> Record:
    """What is known of the radiograph today, whatever it was when it was scored."""
    return {**record, "group": dict(pictures[record["id"]].group)}


def _second(classifier: Classifier) -> Judge | None:
    """Another judge than the audited one; None where none is installed."""
    try:
        judge = load_judge(SECOND)
    except ComponentMissing:
        return None
    return None if judge.sha256 == classifier.sha256 else judge


def finish(audit: Audit, classifier: Classifier, facts: Facts, found: Found) -> dict[str, Any]:
    """Figures, sentences and files; returns what audit.json holds."""
    figures = analyse(facts)
    figures["checks"] = [_worst([p["files"] for p in facts.pictures]), *figures["checks"]]
    run = audit.folder.read()
    told = {
        "schema": SCHEMA,
        "version": monai_cxr_cf.__version__,
        "model": {
            "name": classifier.name,
            "kind": classifier.kind,
            "sha256": classifier.sha256,
            "declared": classifier.declared.as_dict(),
        },
        "edits": {
            "manifest": file_sha256(audit.manifest),
            "fields": dict(audit.common),
            "levels": list(audit.edits.levels),
            "levels_by": "sampled" if audit.edits.sampled else "blended",
            "seed": audit.edits.seed,
            "weights": {Path(name).name: digest for name, digest in run.weights.items()},
            "refused": dict(sorted(found.lost.items())),
        },
        "page_one": page(figures),
        "figures": figures,
    }
    write_report(audit.out, told, facts, found)
    return told


def _worst(checks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the same check on many radiographs the one with the largest number."""
    return max(checks, key=lambda check: check["value"] or 0.0)
