# SPDX-License-Identifier: Apache-2.0
"""What a run knows about itself while it goes, and the record every output repeats afterwards."""

import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import monai_cxr_cf
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.record import FindingRecord, RunRecord, Score, Weights
from monai_cxr_cf.diffusion.cost.memory import peak_memory_mib
from monai_cxr_cf.methods.external import digest_of
from monai_cxr_cf.methods.progemu.model import fingerprint
from monai_cxr_cf.prompts.compose import describe
from monai_cxr_cf.prompts.findings import VOCABULARY, region_terms
from monai_cxr_cf.request import EditRequest, FindingEdit
from monai_cxr_cf.runs.networks import VERDICT_JUDGE
from monai_cxr_cf.runs.run import Run

if TYPE_CHECKING:
    from monai_cxr_cf.diffusion.model.backbone import Backbone

LIBRARIES = ("torch", "diffusers", "transformers", "scipy", "pillow", "monai")


def identity(request: EditRequest) -> str:
    """Canonical JSON of a request with its files by content instead of by path."""
    plain = json.loads(request.canonical_json())
    for name in ("masks", "roi"):
        path = getattr(request, name)
        if path is not None and Path(path).is_file():
            plain[f"{name}_sha256"] = sha256(Path(path).read_bytes()).hexdigest()
    if folder := request.method_settings.get("folder"):
        if "emu3" in request.choice().row.needs:
            plain["weights_sha256"] = fingerprint(Path(str(folder)))
        plain["pictures_sha256"] = digest_of(str(folder), Path(request.source).name)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def default_seed(radiograph: Radiograph, request: EditRequest) -> int:
    """The seed of a request that names none: made from the source and the request."""
    text = f"{radiograph.source_sop_uid}|{identity(request)}"
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF


def record_of(run: Run, *, metrics: Mapping[str, Any], verdict: Mapping[str, Any]) -> RunRecord:
    """The record of a run; all of it repeats with the same request but ``run``."""
    backbone = run.networks.backbone(run.request.backbone)
    return RunRecord(
        request_json=identity(run.request),
        seeds=tuple(run.seeds),
        findings=tuple(map(_finding, run.case.asked.findings)),
        region=region_in_words(run),
        strength=run.config.start.strength,
        weights=_weights(run, backbone),
        code_version=monai_cxr_cf.__version__,
        warnings=_warnings(run),
        metrics=metrics,
        scores=_scores(run, verdict),
        trace={key: value for key, value in run.trace.items() if key != "resources"},
        verdict=verdict,
        masks=run.masks,
        versions={name: metadata.version(name) for name in LIBRARIES},
        run=_this_time(run, backbone),
    )


def _finding(item: FindingEdit) -> FindingRecord:
    code = VOCABULARY[item.finding].code
    return FindingRecord(
        words=describe([replace(item, direction="add")]).removeprefix("add "),
        direction=item.direction,
        code=None if code is None else (code.value, code.scheme, code.meaning),
        side=item.side,
        severity=item.severity,
    )


def region_in_words(run: Run) -> str:
    """Where the edit may act: "left pleural base", or who drew it."""
    if run.scene.drawn is not None:
        return "region drawn by the user"
    terms: dict[str, None] = {}
    for item in run.case.asked.findings:
        for zone, side in region_terms(item.finding, item.side, item.zone):
            words = f"{side or ''} {zone.replace('_', ' ')}"
            terms[words.strip()] = None
    return ", ".join(terms)


def _weights(run: Run, backbone: "Backbone") -> tuple[Weights, ...]:
    """Backbone (one digest over all its files), segmenter, and the classifier that judged."""
    judge = run.networks.judge(VERDICT_JUDGE)
    opinion = (
        () if judge is None else (Weights("classifier", judge.name, judge.sha256, judge.licence),)
    )
    joined = "".join(f"{name}:{digest}\n" for name, digest in sorted(backbone.files.items()))
    model = sha256(joined.encode()).hexdigest()
    return (
        Weights("backbone", backbone.name, model, backbone.licence),
        Weights("segmenter", run.masks["segmenter"], run.masks["sha256"], run.masks["licence"]),
        *opinion,
    )


def _scores(run: Run, verdict: Mapping[str, Any]) -> tuple[Score, ...]:
    """The classifier's belief in each asked finding at which it counts, before and after."""
    told = verdict.get("classifier")
    if not told:
        return ()
    scores = []
    for item in run.case.asked.findings:
        name, code = item.finding, VOCABULARY[item.finding].code
        if name in told["counts"]:
            called = code.meaning.lower() if code else name  # as the SR's finding is coded
            before, after = told["before"][name], told["after"][name]
            scores.append(Score(called, before, after, told["judge"]))
    return tuple(scores)


def _warnings(run: Run) -> tuple[tuple[str, str], ...]:
    """What masks show, what the words were read into, and what the sampler could not do."""
    notes = [*run.scene.notes, *(("prompt", note) for note in run.case.asked.notes)]
    notes += run.case.notes
    if run.case.truncated:
        notes.append(("truncated", "The end of the prompt did not fit and was cut."))
    if run.config.output.composite == "none":
        notes.append(
            (
                "no_composite",
                "The whole image is the decoder's output: pixels outside "
                "the region differ from the source.",
            )
        )
    return tuple(notes)


def _this_time(run: Run, backbone: "Backbone") -> dict[str, Any]:
    """The part of a report that does not repeat."""
    peak = peak_memory_mib()
    return {
        "seconds": dict(run.stages.seconds),
        "sampling": run.trace.get("resources", {}),
        "recalled": dict(sorted(run.networks.memory.taken.items())),
        "peak_memory_mb": None if peak is None else round(peak),
        "device": str(backbone.device),
        "precision": str(backbone.dtype).removeprefix("torch."),
        "python": platform.python_version(),
    }
