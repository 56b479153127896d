# SPDX-License-Identifier: Apache-2.0
"""What a run tells while it works, one frozen class an event (docs/usage.md 5), and how it ends.

``decoder`` makes them from the lines of the runner or of the server's client; the presenter and
the results read them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("read", "segment", "region", "sample", "decode", "composite", "write")


@dataclass(frozen=True)
class Hello:
    """First event: who runs."""

    protocol: int
    version: str = ""
    device: str = ""
    lock: str = ""  # sha256 of the lock file; "" if unknown


@dataclass(frozen=True)
class Progressed:
    """A step of a stage is done."""

    stage: str
    step: int
    total: int  # at least 1
    eta_s: float | None = None  # seconds left in the stage


@dataclass(frozen=True)
class Preview:
    """A picture of what there is so far."""

    path: Path
    step: int | None = None


@dataclass(frozen=True)
class Warned:
    """Something the user should know; the run goes on."""

    code: str
    message: str


@dataclass(frozen=True)
class File:
    """One file of a result."""

    role: str  # cf, diff, seg, sr, preview, trace, arrays, report
    path: Path  # absolute, inside the output folder
    sop_class: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    sha256: str = ""
    label: str = ""  # seed and severity of a member of a series


@dataclass(frozen=True)
class Result:
    """The finished run."""

    files: tuple[File, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    report: str = ""  # absolute path of report.json
    facts: Mapping[str, Any] = field(default_factory=dict)  # whatever else it said, e.g. seconds

    def of(self, role: str) -> tuple[File, ...]:
        """Its files of one role, in their order."""
        return tuple(file for file in self.files if file.role == role)


@dataclass(frozen=True)
class Failed:
    """Why a run, or what came after it, did not succeed: what happened and what to do."""

    code: str
    message: str
    hint: str = ""
    exit_code: int | None = None


Event = Hello | Progressed | Preview | Warned | Result | Failed


@dataclass(frozen=True)
class End:
    """How a process ended."""

    exit_code: int | None  # None: it never started, or was given up
    crashed: bool = False  # by a signal
    error: str = ""  # why there is no exit code
    stderr_tail: str = ""
    cancelled: bool = False
    saw_result: bool = False
    document: dict[str, Any] | None = None  # what a command of questions printed
