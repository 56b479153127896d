# SPDX-License-Identifier: Apache-2.0
"""What a run says about itself: the facts that every output file and report.json repeat.

Filled by the pipeline, read by every writer of this package. Nothing here names a patient: the
source's identifiers live in the radiograph's own header.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Weights:
    """One set of weights that took part."""

    role: str  # backbone, segmenter, classifier
    name: str
    sha256: str
    licence: str  # SPDX identifier or name of the terms


@dataclass(frozen=True)
class FindingRecord:
    """One finding that was edited, in words and, where the vocabulary has one, as a code."""

    words: str  # as a reader says it: "moderate left pleural effusion"
    direction: str  # add, remove, change
    code: tuple[str, str, str] | None = None  # (value, scheme designator, meaning)
    side: str | None = None  # the patient's left, right, both
    severity: float | None = None  # 0..1; None: not said

    def __str__(self) -> str:
        return f"{self.direction} {self.words}"


@dataclass(frozen=True)
class Score:
    """A judge's belief in a finding before and after, both 0..1."""

    finding: str
    before: float
    after: float
    judge: str = ""  # name of the classifier


@dataclass(frozen=True)
class RunRecord:
    """Everything a report holds besides the files themselves.

    All of it except ``run`` must be a function of source, request, weights and code, so that the
    same request writes the same bytes.
    """

    request_json: str  # canonical JSON of the request, without paths
    seeds: tuple[int, ...]
    findings: tuple[FindingRecord, ...]
    region: str  # in words: "left costophrenic and lower zone"
    strength: float  # share of the schedule that is run, 0..1
    weights: tuple[Weights, ...]
    code_version: str
    warnings: tuple[tuple[str, str], ...] = ()  # (code, message), besides the reader's own
    metrics: Mapping[str, Any] = field(default_factory=dict)  # outside_max_diff, ...
    scores: tuple[Score, ...] = ()
    trace: Mapping[str, Any] = field(default_factory=dict)  # what the laws did, docs/method.md 6
    verdict: Mapping[str, Any] = field(default_factory=dict)
    masks: Mapping[str, Any] = field(default_factory=dict)  # segmenter, areas, checks
    versions: Mapping[str, str] = field(default_factory=dict)  # libraries
    run: Mapping[str, Any] = field(default_factory=dict)  # time, memory, device: not repeatable

    @property
    def request(self) -> dict[str, Any]:
        """The request as parsed JSON."""
        loaded: dict[str, Any] = json.loads(self.request_json)
        return loaded

    @property
    def request_sha256(self) -> str:
        """sha256 of the canonical request JSON."""
        return sha256(self.request_json.encode()).hexdigest()


@dataclass(frozen=True)
class Member:
    """One image of the counterfactual series: one level, one seed, or the only one."""

    stored: NDArray[Any]  # HxW integers in the source's stored units
    label: str = ""  # what tells it from its sisters: "severity 0.50", "seed 7"


@dataclass(frozen=True)
class OutputOptions:
    """How files are written."""

    iod: str = "sc"  # sc = Secondary Capture; same = derived CR or DX
    uids: str = "stable"  # stable = from content; random = a fresh copy
    burn_in: bool = False  # draw SYNTHETIC into the pixels: breaks bit-identity outside the region
    content_time: datetime | None = None  # None: SOURCE_DATE_EPOCH, else the source's own


@dataclass(frozen=True)
class WrittenFile:
    """One file of the output folder, as report.json lists it."""

    role: str  # cf, diff, seg, sr, preview, trace, arrays
    path: Path
    sha256: str
    sop_class: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    label: str = ""


def digest(array: NDArray[Any]) -> str:
    """sha256 of an array's shape, type and little-endian bytes."""
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    head = f"{little.shape}{little.dtype.str}".encode()
    return sha256(head + little.tobytes()).hexdigest()


def plain(value: Any) -> Any:
    """JSON-ready copy: arrays become lists, numpy numbers Python's, non-finite floats null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
