# SPDX-License-Identifier: Apache-2.0
"""The state machine of docs/slicer.md 4: each state with each event, none without a way out.

One row an event, one column a state; a cell is the next state and what is to be done. "." stays
and does nothing.
"""

import random
from typing import get_args

import pytest
from CXRCounterfactualLib.contract.events import Event, Warned
from CXRCounterfactualLib.contract.failures import failure
from CXRCounterfactualLib.presenter.presenter import Presenter
from CXRCounterfactualLib.presenter.states import (
    CancelJob,
    CancelPressed,
    CheckPressed,
    CheckRunner,
    CleanFolder,
    ClearPreview,
    Dismissed,
    Effect,
    Ended,
    Happening,
    Imported,
    ImportFailed,
    ImportResult,
    JobEvent,
    NodeRemoved,
    RegionEffect,
    RegionEvent,
    RunPressed,
    SceneClosed,
    ServerLost,
    ShowCompare,
    ShowPreview,
    StartJob,
    State,
)
from CXRCounterfactualLib.presenter.view import ROLES

from tests.slicer.helpers.presenting import (
    ASKED,
    ASKED_MORE,
    HEALTHY,
    HELLO,
    NO_SOURCE,
    OTHER,
    PATHS,
    PREVIEW,
    REFUSED,
    RESULT,
    SICK,
    SOURCE,
    STEP,
    WRONG,
    at,
    led,
)

COLUMNS = tuple(State)
EVENTS: dict[str, Happening] = {
    "check": CheckPressed(),
    "healthy": HEALTHY,
    "sick": SICK,
    "same source": SOURCE,
    "other source": OTHER,
    "no source": NO_SOURCE,
    "same request": ASKED,
    "other request": ASKED_MORE,
    "wrong request": WRONG,
    "run": RunPressed(),
    "cancel": CancelPressed(),
    "hello": JobEvent(HELLO),
    "step": JobEvent(STEP),
    "picture": JobEvent(PREVIEW),
    "warning": JobEvent(Warned("spacing", "No spacing.")),
    "result": JobEvent(RESULT),
    "error": JobEvent(REFUSED),
    "end": Ended(),
    "crash": Ended(failure("crashed", 11)),
    "imported": Imported("One image."),
    "not imported": ImportFailed("A file is damaged.", "Run it again."),
    "scene": SceneClosed(),
    "node": NodeRemoved(),
    "server": ServerLost(),
    "dismiss": Dismissed(),
}
# Next state, then "!" and letters for what is to be done.
LETTERS: dict[type, str] = {
    CheckRunner: "c", StartJob: "s", CancelJob: "k", ImportResult: "i", ShowCompare: "v",
    ShowPreview: "p", ClearPreview: "x", CleanFolder: "f",
}  # fmt: skip
#                NoRunner      Idle           Ready          Running          Cancelling
#                Importing     Done           Failed
TABLE = {
    "check":         ". !c       | . !c       | . !c         | .              | .         "
                     "| .          | . !c        | . !c",
    "healthy":       "Idle       | .          | .            | .              | .         "
                     "| .          | .           | .",
    "sick":          ".          | NoRunner   | NoRunner     | .              | .         "
                     "| .          | NoRunner    | .",
    "same source":   ".          | Ready      | .            | .              | .         "
                     "| .          | .           | .",
    "other source":  ".          | Ready      | .            | .              | .         "
                     "| .          | Ready       | Ready",
    "no source":     ".          | .          | Idle         | .              | .         "
                     "| .          | Idle        | Idle",
    "same request":  ".          | .          | .            | .              | .         "
                     "| .          | .           | .",
    "other request": ".          | .          | .            | .              | .         "
                     "| .          | .           | Ready",
    "wrong request": ".          | .          | Idle         | .              | .         "
                     "| .          | Idle        | Idle",
    "run":           ".          | .          | Running !xfs | .              | .         "
                     "| .          | Running !xfs | .",
    "cancel":        ".          | .          | .            | Cancelling !kx | .         "
                     "| .          | .           | .",
    "hello":         ".          | .          | .            | .              | .         "
                     "| .          | .           | .",
    "step":          ".          | .          | .            | .              | .         "
                     "| .          | .           | .",
    "picture":       ".          | .          | .            | . !p           | .         "
                     "| .          | .           | .",
    "warning":       ".          | .          | .            | .              | .         "
                     "| .          | .           | .",
    "result":        ".          | .          | .            | Importing !i   | .         "
                     "| .          | .           | .",
    "error":         ".          | .          | .            | Failed !xk     | .         "
                     "| .          | .           | .",
    "end":           ".          | .          | .            | Failed !xf     | Ready !f  "
                     "| .          | .           | .",
    "crash":         ".          | .          | .            | Failed !xf     | Ready !f  "
                     "| .          | .           | .",
    "imported":      ".          | .          | .            | .              | .         "
                     "| Done !v    | .           | .",
    "not imported":  ".          | .          | .            | .              | .         "
                     "| Failed !xf | .           | .",
    "scene":         ". !xf      | . !xf      | Idle !xf     | Cancelling !kx | .         "
                     "| Idle !xf   | Idle !xf    | Idle !xf",
    "node":          ". !xf      | . !xf      | Idle !xf     | Cancelling !kx | .         "
                     "| Idle !xf   | Idle !xf    | Idle !xf",
    "server":        ".          | NoRunner   | NoRunner     | Failed !xk     | .         "
                     "| .          | NoRunner    | .",
    "dismiss":       ".          | .          | .            | .              | .         "
                     "| .          | Ready       | Ready",
}  # fmt: skip
CELLS = [
    pytest.param(state, name, cell.strip(), id=f"{state.value}-{name}")
    for name, row in TABLE.items()
    for state, cell in zip(COLUMNS, row.split("|"), strict=True)
]


def letters(effects: tuple[Effect, ...]) -> str:
    """Effects as the table writes them; those on the region have a table of their own."""
    return "".join(LETTERS[type(e)] for e in effects if not isinstance(e, RegionEffect))


def test_the_table_speaks_of_every_event_there_is() -> None:
    of_regions = set(get_args(RegionEvent))  # test_regions.py
    assert {type(event) for event in EVENTS.values()} == set(get_args(Happening)) - of_regions
    assert {type(e.event) for e in EVENTS.values() if isinstance(e, JobEvent)} == set(
        get_args(Event)
    )
    assert set(TABLE) == set(EVENTS)
    assert set(LETTERS) == set(get_args(Effect)) - set(get_args(RegionEffect))


@pytest.mark.parametrize(("state", "name", "cell"), CELLS)
def test_every_state_answers_every_event(state: State, name: str, cell: str) -> None:
    presenter = at(state)
    effects = presenter.handle(EVENTS[name])
    expected, _, todo = cell.partition("!")
    assert presenter.state.value == (state.value if expected.strip() == "." else expected.strip())
    assert letters(effects) == todo


@pytest.mark.parametrize("state", COLUMNS)
def test_no_state_is_without_a_way_out(state: State) -> None:
    left = set()
    for event in EVENTS.values():
        presenter = at(state)
        presenter.handle(event)
        left.add(presenter.state)
    assert left - {state}


# What opens each way out: a widget the user can press, or an event that comes by itself.
BY_ITSELF = {
    State.CANCELLING: Ended(),  # the back end ends every process within two seconds
    State.IMPORTING: ImportFailed(""),  # or Imported: the widget catches whatever is raised
}
BY_HAND: dict[State, tuple[str, Happening]] = {
    State.NO_RUNNER: ("check", HEALTHY),
    State.IDLE: ("selector", SOURCE),
    State.READY: ("run", RunPressed()),
    State.RUNNING: ("cancel", CancelPressed()),
    State.DONE: ("dismiss", Dismissed()),
    State.FAILED: ("dismiss", Dismissed()),
}


@pytest.mark.parametrize("state", COLUMNS)
def test_the_way_out_is_enabled_or_comes_by_itself(state: State) -> None:
    presenter = led(*PATHS[state], *((ASKED,) if state is State.IDLE else ()))
    if state in BY_ITSELF:
        presenter.handle(BY_ITSELF[state])
    else:
        role, event = BY_HAND[state]
        assert role in presenter.view().enabled
        presenter.handle(event)
    assert presenter.state is not state


@pytest.mark.parametrize("state", COLUMNS)
def test_from_everywhere_a_few_events_lead_to_a_new_run(state: State) -> None:
    presenter = at(state)
    for event in (Ended(), ImportFailed(""), HEALTHY, Dismissed(), OTHER, ASKED_MORE):
        presenter.handle(event)
    assert presenter.state is State.READY
    assert "run" in presenter.view().enabled
    presenter.handle(RunPressed())
    assert presenter.state is State.RUNNING


@pytest.mark.parametrize("state", COLUMNS)
def test_a_closed_scene_leads_to_idle_from_everywhere(state: State) -> None:
    presenter = led(*PATHS[state], SceneClosed())
    if presenter.state is State.CANCELLING:
        presenter.handle(Ended())
    expected = State.NO_RUNNER if state is State.NO_RUNNER else State.IDLE
    assert presenter.state is expected
    assert presenter.view().verdict == ()


@pytest.mark.parametrize("state", COLUMNS)
def test_what_is_enabled_is_a_role_and_what_is_pressed_while_greyed_out_does_nothing(
    state: State,
) -> None:
    presenter = at(state)
    enabled = presenter.view().enabled
    assert enabled <= ROLES
    for role, event in (("run", RunPressed()), ("cancel", CancelPressed())):
        if role not in enabled:
            assert letters(presenter.handle(event)) == ""
            assert presenter.state is state


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_in_whatever_order_it_can_go_on(seed: int) -> None:
    dice, presenter = random.Random(seed), Presenter()
    for _ in range(200):
        presenter.handle(dice.choice(list(EVENTS.values())))
        assert presenter.view().message
    started = 0
    while "run" in presenter.view().enabled and started < 3:
        assert any(isinstance(e, StartJob) for e in presenter.handle(RunPressed()))
        presenter.handle(CancelPressed())
        presenter.handle(Ended())
        started += 1
    for event in (Ended(), ImportFailed(""), HEALTHY, Dismissed(), OTHER, ASKED_MORE):
        presenter.handle(event)
    assert presenter.state is State.READY


def test_a_new_presenter_asks_for_the_doctor_and_waits() -> None:
    presenter = Presenter()
    assert presenter.state is State.NO_RUNNER
    assert presenter.handle(CheckPressed()) == (CheckRunner(),)
    assert presenter.view().message == "Checking the runner."
