# SPDX-License-Identifier: Apache-2.0
"""What an audit may do besides: saliency maps against edits, and one patient in one picture."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.audit.adapters.classifier import Classifier
from monai_cxr_cf.audit.adapters.load import digest_of
from monai_cxr_cf.audit.figures.facts import Facts
from monai_cxr_cf.audit.measuring.captum_maps import mapper
from monai_cxr_cf.audit.measuring.saliency import find_map, fitted, measure_maps, read_map
from monai_cxr_cf.audit.measuring.score import target_of
from monai_cxr_cf.audit.measuring.trial import Picture
from monai_cxr_cf.audit.one import draw, explain
from monai_cxr_cf.audit.run import Audit
from monai_cxr_cf.audit.store import Scores
from monai_cxr_cf.audit.trials import Found, trials
from monai_cxr_cf.batch.rows.manifest import file_sha256
from monai_cxr_cf.dicom import codes
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.writing.sr import write_explanation
from monai_cxr_cf.errors import BadRequest

Array = NDArray[np.float32]


def with_maps(
    audit: Audit, classifier: Classifier, facts: Facts, found: Found, folder: Path | None
) -> Facts:
    """The facts, each used trial with what the maps of ``folder`` (None: Captum's) say of it.

    Raises:
        BadRequest: fewer than two of the radiographs have a map, so there is no null.
    """
    drawn = mapper(classifier) if folder is None else None
    chosen = {c.id: c for c in audit.chosen}
    named = {
        c.id: Path(c.path) if folder is None else find_map(folder, (c.id, Path(c.path).stem))
        for c in audit.chosen
    }
    order = [name for name, path in named.items() if path is not None]
    if len(order) < 2:
        raise BadRequest(
            f"{len(order)} of the radiographs have a saliency map; expected two or more.",
            hint="Name them like the radiographs: ID.npy, .nrrd, .png or .dcm (SEG).",
        )

    def read(name: str, label: int) -> Array:
        source = read_source(chosen[name].path, chosen[name].reading)
        return drawn(source.pixels, label) if drawn else read_map(named[name] or Path(), source)

    digests = {name: file_sha256(path) for name, path in named.items() if path}
    words = f"{digest_of(classifier)} {sorted(digests.items())}{' captum' * (folder is None)}"
    kept = Scores(audit.out, sha256(words.encode()).hexdigest())
    for record, pair in zip(facts.trials, found.pairs, strict=True):
        label, name = target_of(facts.labels, record["finding"]), record["id"]
        known = named.get(name) is None or pair.key in kept.known
        if record["verdict"] != "passed" or label is None or known:
            continue
        _, trial = next(trials([pair], _known(audit), "", None))
        own = read(name, label)
        other = read(order[(order.index(name) + 1) % len(order)], label)
        told = measure_maps(classifier, trial, own, fitted(other, own.shape), label)
        kept.add(pair.key, told)
    both = zip(facts.trials, found.pairs, strict=True)
    return replace(facts, trials=[{**t, "maps": kept.known.get(p.key)} for t, p in both])


def _known(audit: Audit) -> dict[str, Picture]:
    nothing = np.zeros((0, 0), np.float32)
    return {c.id: Picture(c.id, c.patient, nothing, c.group) for c in audit.chosen}


def explain_all(audit: Audit, classifier: Classifier, facts: Facts, found: Found) -> list[str]:
    """A picture and an SR, ``one-N``, for every edit of the audit, and its sentence."""
    said = []
    shown = trials(found.pairs, _known(audit), classifier.sha256, None)
    for number, ((pair, trial), record) in enumerate(zip(shown, facts.trials, strict=True), 1):
        label = target_of(facts.labels, trial.asked.finding)
        name = facts.labels[label] if label is not None else ""
        threshold = facts.thresholds.get(name, 0.5)
        words = explain(trial, dict(record), facts.labels, threshold)
        picture = audit.out / f"one-{number}.png"
        draw(trial, dict(record), facts.labels, (words, threshold), picture)
        if label is not None:
            asked = (codes.BEFORE, codes.AFTER, codes.IN_SHAM)
            rows = (record["source"], record["edited"][-1], record["sham"][-1])
            values = {each: row[label] for each, row in zip(asked, rows, strict=True)}
            level = (record.get("flip") or {}).get("level")
            write_explanation(
                pair.edit / "sr.dcm",
                audit.out / f"one-{number}.dcm",
                name=f"{trial.asked.name}: {name}",
                classifier=(classifier.name, classifier.sha256 or "unknown"),
                values=values if level is None else values | {codes.FLIP: level},
                told=[words, f"verdict={trial.verdict}"],
            )
        said.append(words)
    return said
