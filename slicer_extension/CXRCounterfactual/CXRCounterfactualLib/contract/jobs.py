# SPDX-License-Identifier: Apache-2.0
"""A ``Choice`` in, the job file of the runner or server out.

Standard library only: the contract with the runner is this file and the events, never an import.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .params import Choice, sampled

NAME = "job.json"


def make_request(
    choice: Choice,
    *,
    source: str | Path,
    reading: Mapping[str, Any] | None = None,
    masks: str | Path | None = None,
    roi: str | Path | None = None,
) -> dict[str, Any]:
    """The request of a choice, after ``request.schema.json``; what is not said is left out.

    Args:
        choice: without problems.
        source: the original DICOM file.
        reading: what the strict reader may let pass, e.g. ``{"allow_raster": True}``.
        masks: organ masks instead of the segmenter's.
        roi: an explicit region instead of the one from words.
    """
    request: dict[str, Any] = {"version": 1, "source": str(source), "preset": choice.preset}
    if choice.prompt.strip():
        request["prompt"] = choice.prompt.strip()
    else:
        request["findings"] = [_finding(choice)]
    more = {
        "seeds": list(choice.seeds),
        "levels": list(choice.levels),
        "levels_by": choice.levels_by if sampled(choice) else "",
        "overrides": asdict(choice)["overrides"],
        "reading": dict(reading or {}),
        "masks": None if masks is None else str(masks),
        "roi": None if roi is None else str(roi),
    }
    request |= {name: value for name, value in more.items() if value}
    if choice.strength is not None:
        request["strength"] = choice.strength
    if choice.iod != "sc":
        request["iod"] = choice.iod
    return request


def _finding(choice: Choice) -> dict[str, Any]:
    finding: dict[str, Any] = {"finding": choice.finding, "direction": choice.direction}
    finding |= {"side": choice.side, "zone": choice.zone}
    # Of a removal the severity would be the share to take away; a removal takes all.
    finding["severity"] = choice.severity if choice.direction == "add" else None
    return {name: value for name, value in finding.items() if value is not None}


def write_job(request: Mapping[str, Any], folder: str | Path) -> Path:
    """Write the job file, readable by its owner alone: it names a patient's file and a prompt."""
    path = Path(folder) / NAME
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(request, stream, indent=1)
    return path
