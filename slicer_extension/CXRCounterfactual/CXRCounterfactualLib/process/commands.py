# SPDX-License-Identifier: Apache-2.0
"""What to run, as data: each verb of the runner, the server's client, and their environments.

``backend`` starts a command; every one goes through ``spawn.py``, so that it can be stopped whole.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from .environment import Plan

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parent / "remote" / "client.py"
RUNNER = ("-m", "monai_cxr_cf.cli")
AUTHORITIES = "SSL_CERT_FILE"
KEY = "CXR_CF_API_KEY"  # the key travels in the child's environment: never in words or files


@dataclass(frozen=True)
class Command:
    """One process to start."""

    program: str
    words: tuple[str, ...]  # for spawn.py: "-m MODULE ..." or "SCRIPT ..."
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None = None  # what it writes: removed with its staging unless all ends well
    document: bool = False  # standard output is one JSON document, not a stream of events
    token: str = field(default_factory=lambda: uuid4().hex, compare=False)

    @property
    def group_file(self) -> Path:
        """Where the process tells its group."""
        return Path(tempfile.gettempdir()) / f".cxr-cf-{self.token}.group"

    @property
    def arguments(self) -> list[str]:
        """All words after the program."""
        return [str(HERE / "spawn.py"), str(self.group_file), *self.words]


def local_command(python: str, job: Path, out: Path, *, environment: Mapping[str, str]) -> Command:
    """Edit on this machine: the job file in, events out, files into ``out``."""
    words = (*RUNNER, "edit", "--request", str(job), "--out", str(out))
    return Command(python, (*words, "--progress", "ndjson", "--arrays"), environment, folder=out)


def region_command(python: str, job: Path, out: Path, *, environment: Mapping[str, str]) -> Command:
    """Only find the organs, and the region that an edit of the same job file would act in."""
    words = (*RUNNER, "segment", "--request", str(job), "--out", str(out), "--json")
    return Command(python, words, environment, folder=out, document=True)


def doctor_command(python: str, *, environment: Mapping[str, str]) -> Command:
    """Is everything there that a run needs?"""
    return Command(python, (*RUNNER, "doctor", "--json"), environment, document=True)


def info_command(python: str, *, environment: Mapping[str, str]) -> Command:
    """Which findings, presets and weights, and under which licences?"""
    return Command(python, (*RUNNER, "info", "--json"), environment, document=True)


def score_command(
    python: str, model: str, declared: str, files: list[str], *, environment: Mapping[str, str]
) -> Command:
    """What does a classifier say of a radiograph and a counterfactual? ``declared``: or ""."""
    words = (*RUNNER, "audit", "--json", "--model", model or "j1", "--score", *files)
    words += ("--preprocessing", declared) if declared else ()
    return Command(python, words, environment, document=True)


def create_command(plan: Plan, *, environment: Mapping[str, str]) -> Command:
    """Make the runner's environment; its folder is removed again if that fails or is stopped."""
    words = (str(HERE / "run_steps.py"), json.dumps(plan.stages))
    driver = plan.driver or plan.steps[0][0]
    return Command(driver, words, environment, folder=plan.folder)


def remote_command(
    python: str, server: str, job: Path, out: Path, *, key: str, environment: Mapping[str, str]
) -> Command:
    """The same edit on a server; ``python`` is Slicer's own, the client needs nothing more."""
    words = (str(CLIENT), "--server", server, "--request", str(job), "--out", str(out))
    return Command(python, words, _with_key(environment, key), folder=out)


def remote_region_command(
    python: str, server: str, job: Path, out: Path, *, key: str, environment: Mapping[str, str]
) -> Command:
    """``region_command`` on a server."""
    edit = remote_command(python, server, job, out, key=key, environment=environment)
    return replace(edit, words=(*edit.words, "--region"), document=True)


def server_command(
    python: str, server: str, *, key: str, environment: Mapping[str, str]
) -> Command:
    """Does the server answer, is it ready, what does it offer: checks and facts in one document."""
    words = (str(CLIENT), "--server", server, "--check")
    return Command(python, words, _with_key(environment, key), document=True)


def _with_key(environment: Mapping[str, str], key: str) -> dict[str, str]:
    """For the client of a server, which runs in Slicer's own Python: key and certificates.

    That Python has no certificates of the system: a running Slicer names its own to it.
    """
    known = {AUTHORITIES: os.environ[AUTHORITIES]} if AUTHORITIES in os.environ else {}
    return {**known, **environment, **({KEY: key} if key else {})}
