# SPDX-License-Identifier: Apache-2.0
"""Presenters brought into each state by events alone, for the tests of the state machine."""

from pathlib import Path

from CXRCounterfactualLib.contract.events import Failed, Hello, Preview, Progressed, Result
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.presenter.presenter import Presenter
from CXRCounterfactualLib.presenter.states import (
    CancelPressed,
    Checked,
    Effect,
    Ended,
    Happening,
    Imported,
    JobEvent,
    RegionEffect,
    RequestChanged,
    RunPressed,
    SourceChanged,
    State,
)

CHOICE = Choice()
HEALTHY = Checked(True, device="cpu")
SICK = Checked(False, ("monai-cxr-cf is not installed.",), "python -m pip install /opt/checkout")
SOURCE = SourceChanged(True, source_id="volume1")
OTHER = SourceChanged(True, source_id="volume2")
NO_SOURCE = SourceChanged(False, "It has several slices.", "volume3")
ASKED = RequestChanged((), CHOICE)
ASKED_MORE = RequestChanged((), Choice(severity=0.2))
WRONG = RequestChanged(("The severity lies between 0 and 1.",), Choice(severity=2))
HELLO = Hello(1, "0.1.0", "cpu", "ab" * 32)
STEP = Progressed("sample", 3, 14, 2.0)
RESULT = Result((), {"outside_max_diff": 0}, {"verdict": "passed", "proven": False})
REFUSED = Failed("unsupported_image", "A lateral view.", "Take a frontal one.")
PREVIEW = Preview(Path("preview.png"))

TO_IDLE: tuple[Happening, ...] = (HEALTHY,)
TO_READY = (*TO_IDLE, SOURCE, ASKED)
TO_RUNNING = (*TO_READY, RunPressed(), JobEvent(HELLO), JobEvent(STEP))
TO_IMPORTING = (*TO_RUNNING, JobEvent(RESULT), Ended())
PATHS: dict[State, tuple[Happening, ...]] = {
    State.NO_RUNNER: (SICK,),
    State.IDLE: TO_IDLE,
    State.READY: TO_READY,
    State.RUNNING: TO_RUNNING,
    State.CANCELLING: (*TO_RUNNING, CancelPressed()),
    State.IMPORTING: TO_IMPORTING,
    State.DONE: (*TO_IMPORTING, Imported("One image was added.")),
    State.FAILED: (*TO_RUNNING, JobEvent(REFUSED), Ended()),
}


def led(*events: Happening) -> Presenter:
    """A presenter to which all this has happened."""
    presenter = Presenter()
    for event in events:
        presenter.handle(event)
    return presenter


def at(state: State) -> Presenter:
    """A presenter in a state."""
    presenter = led(*PATHS[state])
    assert presenter.state is state
    return presenter


def done(presenter: Presenter, event: Happening) -> tuple[Effect, ...]:
    """What an event leads to, but for the region before a run, which has tests of its own."""
    return tuple(e for e in presenter.handle(event) if not isinstance(e, RegionEffect))
