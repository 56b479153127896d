# SPDX-License-Identifier: Apache-2.0
"""Cancel of the real runner at twenty moments, from its first word to the writing of its files.

Each time the whole process tree and every partial file must be gone within two seconds. How long
it took stands in the summary of the test session (``conftest.py``).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from CXRCounterfactualLib.contract import jobs
from CXRCounterfactualLib.contract.events import STAGES, Hello, Progressed
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import local_command

from tests.slicer.environment import Runner
from tests.slicer.helpers.driving import drive, living

pytestmark = [pytest.mark.usefixtures("application"), pytest.mark.timeout(600)]
PATIENCE = 400.0  # seconds: other tests share the machine
LONGEST, LIMIT = 0.1, 2.0  # seconds: the bars for a blocked window and for a cancel
CHOICE = Choice(finding="pleural effusion", side="left", preset="fast", seeds=(1,))
HELLO = "hello"


class Moment(NamedTuple):
    """When to cancel: at a step of a stage, or at the first word, and so many seconds later."""

    stage: str
    step: int = 0
    delay: float = 0.0
    steps: int = 4  # of the sampler: few, to be soon where the moment is after it


# A tell of step n is the middle of step n + 1; delays fall into imports, steps and files.
MOMENTS = (
    Moment(HELLO), Moment(HELLO, delay=0.4), Moment(HELLO, delay=0.9),
    Moment("read"), Moment("read", 1),
    Moment("segment", delay=0.1), Moment("segment", 1),
    Moment("region", delay=0.5), Moment("region", delay=1.0), Moment("region", 1),
    Moment("sample"), Moment("sample", delay=0.7), Moment("sample", 1, steps=1000),
    Moment("sample", 2, 0.03, steps=1000), Moment("sample", 5, 0.06, steps=1000),
    Moment("sample", 12, steps=1000),
    Moment("decode", delay=0.05), Moment("composite"),
    Moment("write"), Moment("write", delay=0.3),
)  # fmt: skip


def reached(moment: Moment) -> Callable[[Any], bool]:
    """Whether an event is the one to cancel at, or a later one: of steps that come together the
    back end tells only the last.
    """

    def is_it(event: Any) -> bool:
        if moment.stage == HELLO:
            return isinstance(event, Hello)
        if not isinstance(event, Progressed):
            return False
        here, asked = STAGES.index(event.stage), STAGES.index(moment.stage)
        return (here, event.step) >= (asked, moment.step)

    return is_it


def test_the_moments_are_twenty_different_ones_in_every_stage() -> None:
    assert len(set(MOMENTS)) == 20
    assert {moment.stage for moment in MOMENTS} == {HELLO, *STAGES}


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda m: f"{m.stage}-{m.step}-{m.delay:g}")
def test_cancel_ends_the_real_runner_and_its_files_in_two_seconds(
    moment: Moment,
    runner: Runner,
    root: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    job = tmp_path / "job"
    job.mkdir()
    request = jobs.make_request(CHOICE, source=root / "docs" / "example.dcm")
    request["overrides"] = {"sampling": {"steps": moment.steps}}
    path = jobs.write_job(request, job)
    command = local_command(runner.python, path, job / "out", environment=runner.environment())
    told = drive(
        Backend(), command, cancel_if=reached(moment), delay=moment.delay, patience=PATIENCE
    )
    assert told.cancelled_at, told.end.stderr_tail
    assert told.end.cancelled
    assert not told.end.saw_result
    record_property("stop_s", round(told.stop_s, 3))
    record_property("gap_s", round(max(told.gaps, default=0.0), 3))
    assert told.stop_s < LIMIT
    assert not living(str(job))
    assert [path.name for path in job.iterdir()] == ["job.json"]
    assert max(told.gaps) < LONGEST
