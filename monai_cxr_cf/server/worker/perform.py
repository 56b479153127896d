# SPDX-License-Identifier: Apache-2.0
"""One job done: request and files in, the result folder out; runs in the worker process.

It is committed as a row of a batch is: built aside, synced, renamed, and only then does the store
say so. A folder that the store does not know yet is taken if every file is as its result says.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_cxr_cf import __version__
from monai_cxr_cf.batch.rows.manifest import file_sha256
from monai_cxr_cf.batch.store.files import built, remove
from monai_cxr_cf.devices import AUTO, device_of
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs import facts
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.runs.progress import Silent
from monai_cxr_cf.runs.result import result_of
from monai_cxr_cf.server.queue.jobs import AUDIT, HOME, SEGMENT, drawn

RESULT = "result.json"


@dataclass
class Models:
    """The networks of a worker, loaded once.

    Args:
        backbones: published name -> what ``load_backbone`` takes.
        default: the name that is loaded before the first job.
        device: as ``Networks`` takes it.
        precision: of the UNet, likewise.
        compiled: likewise.
        audits: classifier -> its --model, declaration.
    """

    backbones: Mapping[str, str]
    default: str
    device: str = AUTO
    precision: str = AUTO
    compiled: bool = False
    audits: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    _networks: "Networks | None" = field(default=None, repr=False)

    def networks(self) -> "Networks":
        """The loaded parts."""

        if self._networks is None:
            self._networks = Networks(
                device=self.device, precision=self.precision, compiled=self.compiled
            )
        return self._networks

    def warm_up(self) -> dict[str, Any]:
        """Load the default backbone and segmenter; returns what ``hello`` says."""
        from monai_cxr_cf import pipeline  # noqa: F401  (its libraries are the slow part)

        networks = self.networks()
        networks.backbone(self.backbones[self.default])
        networks.segmenter("hybridgnet")
        device = device_of(self.device)
        return {"version": __version__, "device": device, "lock_sha256": facts.lock_hash()}


def perform(
    job: Mapping[str, Any], folder: Path, *, models: Models, events: Silent
) -> dict[str, Any]:
    """Run a job and put its result folder ``out`` in place, whole and on disk.

    Args:
        job: kind and request.
        folder: the job's own; ``in/`` holds its files.
        models: the loaded networks.
        events: told every step; raises to stop the job.

    Returns:
        What the store keeps: files relative to ``out``, figures, verdict; also in result.json.
    """
    if (found := finished(folder / "out")) is not None:
        return found
    remove(folder / "out")
    with built(folder / "aside", folder / "out") as out:
        events.hello(models.warm_up())
        if job["kind"] == SEGMENT:
            from monai_cxr_cf.runs.run import Stages
            from monai_cxr_cf.server.worker.segment_job import find_organs

            stages, networks = Stages(events), models.networks()
            files = folder / "in"
            result = find_organs(job["request"], files, out=out, networks=networks, stages=stages)
        elif job["kind"] == AUDIT:
            result = _audit(job["request"], folder, out, models=models, events=events)
        else:
            result = _edit(job["request"], folder / "in", out, models=models, events=events)
        (out / RESULT).write_text(json.dumps(result))
    remove(folder / HOME)
    return result


def finished(out: Path) -> dict[str, Any] | None:
    """The result of a folder that is whole: of a worker that died before it said so."""
    try:
        result: dict[str, Any] = json.loads((out / RESULT).read_text())
        whole = all(file_sha256(out / file["path"]) == file["sha256"] for file in result["files"])
    except (OSError, ValueError, KeyError):
        return None
    return result if whole else None


def _edit(
    request: Mapping[str, Any], files: Path, out: Path, *, models: Models, events: Silent
) -> dict[str, Any]:
    from monai_cxr_cf import pipeline
    from monai_cxr_cf.server.worker.pictures import write_view

    asked = _with_files(request, files, models)
    outcome = pipeline.run(asked, out, networks=models.networks(), progress=events, overwrite=True)
    for code, message in outcome.warnings:
        events.warn(code, message)
    result = result_of(outcome, out)
    result["files"] += write_view(asked, outcome, out)
    return result


def _audit(
    request: Mapping[str, Any], folder: Path, out: Path, *, models: Models, events: Silent
) -> dict[str, Any]:
    from monai_cxr_cf.server.worker.audit_job import audit

    loads = (models.backbones[request["backbone"]], *models.audits[request["model"]])
    return audit(request, folder, out, networks=models.networks(), events=events, loads=loads)


def _with_files(request: Mapping[str, Any], files: Path, models: Models) -> EditRequest:
    """The request with the uploaded files and the backbone that its published name stands for."""
    asked = from_json({**request, "source": str(files / "source")})
    parts: dict[str, Any] = {**drawn(files)}
    return replace(asked, backbone=models.backbones[asked.backbone], **parts)
