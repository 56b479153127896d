# SPDX-License-Identifier: Apache-2.0
"""A run while it goes, and what it leaves: stages, pictures, outcome."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.case import Case, Scene
from monai_cxr_cf.dicom.radiograph import Radiograph
from monai_cxr_cf.dicom.record import WrittenFile
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.request import EditRequest
from monai_cxr_cf.runs.networks import Networks


class Stages:
    """Reports each stage as it runs and keeps its seconds."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress or (lambda event: None)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[Progress]:
        """Time one stage; yields a callback for steps inside it."""
        self._progress({"stage": stage, "step": 0, "total": 1})
        began = time.perf_counter()
        yield lambda event: self._progress({**event, "stage": stage})
        self.seconds[stage] = round(time.perf_counter() - began, 3)
        self._progress({"stage": stage, "step": 1, "total": 1})


def warn(step: Progress, notes: Sequence[tuple[str, str]]) -> None:
    """Tell warnings, as (code, message), while a stage still runs."""
    for code, message in notes:
        step({"step": 0, "total": 1, "warning": {"code": code, "message": message}})


@dataclass(frozen=True, eq=False)
class Run:
    """Everything a finished run has in hand when it begins to write."""

    request: EditRequest
    radiograph: Radiograph
    scene: Scene
    case: Case
    trace: Mapping[str, Any]  # what the sampler did
    masks: Mapping[str, Any]  # where the organ masks came from
    stages: Stages
    seeds: tuple[int, ...]
    networks: Networks

    @property
    def config(self) -> EditConfig:
        """The settings in force."""
        return self.case.config


@dataclass(frozen=True, eq=False)
class Picture:
    """One counterfactual on the native grid."""

    change: NDArray[np.float32]  # H x W, display units, bright = dense
    stored: NDArray[Any]  # H x W integers in the source's stored units
    label: str = ""
    beyond: float = 0.0  # mean |change| beyond region and band before the composite, 0..255
    raw: NDArray[np.float32] | None = None  # change by the decoder's own picture, where asked for


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a caller gets back from a run: files and figures, and the pictures as arrays.

    Arrays are H x W on the source's native grid, rows down, columns right.
    """

    files: tuple[WrittenFile, ...]
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    warnings: tuple[tuple[str, str], ...]
    report: Path
    seconds: Mapping[str, float] = field(default_factory=dict)
    radiograph: Radiograph | None = field(default=None, repr=False)  # the source as it was read
    stored: tuple[NDArray[Any], ...] = field(default=(), repr=False)  # members, stored units
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict, repr=False)

    @property
    def source(self) -> NDArray[np.float32]:
        """The source as displayed, 0..1, bright = dense."""
        return self._read().pixels

    @property
    def counterfactuals(self) -> tuple[NDArray[np.float32], ...]:
        """Every member as its file shows it, 0..1, through the source's own window."""
        return tuple(self._read().rendered(stored) for stored in self.stored)

    def _read(self) -> Radiograph:
        if self.radiograph is None:
            raise BadRequest("This outcome carries no arrays.", hint="Run the edit again.")
        return self.radiograph

    def moved(self, old: Path, new: Path) -> "Outcome":
        """The same outcome with its paths under ``new``."""
        files = tuple(replace(f, path=new / f.path.relative_to(old)) for f in self.files)
        return replace(self, files=files, report=new / self.report.relative_to(old))
