# SPDX-License-Identifier: Apache-2.0
"""When the region is shown before a run: every look with every event, and what never happens.

One row an event, one column a look; a cell is the next look and what is to be done. "." stays and
does nothing.
"""

import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.presenter.presenter import Presenter
from CXRCounterfactualLib.presenter.regions import LOOKING, TABLE, Look, Turn, about_of, answered
from CXRCounterfactualLib.presenter.states import (
    AskRegion,
    AwaitQuiet,
    CancelPressed,
    CheckPressed,
    DropRegion,
    Effect,
    Ended,
    Happening,
    Imported,
    JobEvent,
    Memory,
    NodeRemoved,
    OutlineRegion,
    QuietPassed,
    RegionDrawn,
    RegionEffect,
    RegionEvent,
    RegionFound,
    RegionMissing,
    RegionPressed,
    RequestChanged,
    RunPressed,
    SceneClosed,
    ServerLost,
    State,
)

from tests.slicer.helpers.presenting import (
    ASKED,
    ASKED_MORE,
    CHOICE,
    HEALTHY,
    NO_SOURCE,
    OTHER,
    REFUSED,
    RESULT,
    SICK,
    SOURCE,
    TO_READY,
    WRONG,
    led,
)

SEG = Path("out/seg.dcm")
ON_DEMAND = RequestChanged((), CHOICE, by_itself=False)
WAITED = (*TO_READY, QuietPassed(1))
SHOWN = (*WAITED, RegionFound(1, SEG), RegionDrawn(1, 1234))
PATHS: dict[Look, tuple[Happening, ...]] = {
    Look.NONE: (HEALTHY, SOURCE, ON_DEMAND),
    Look.WAITING: TO_READY,
    Look.LOOKING: WAITED,
    Look.SHOWN: SHOWN,
    Look.MISSING: (*WAITED, RegionMissing(1, "No chest was found.")),
}
NODULE = Choice(finding="nodule")
EVENTS: dict[str, Happening] = {
    "other finding": RequestChanged((), NODULE),
    "other, on demand": RequestChanged((), NODULE, by_itself=False),
    "other severity": ASKED_MORE,
    "same request": ASKED,
    "now on demand": ON_DEMAND,
    "wrong request": WRONG,
    "own region": RequestChanged((), CHOICE, own_region=True),
    "lateral views": RequestChanged((), CHOICE, reading=("allow_lateral",)),
    "other source": OTHER,
    "no source": NO_SOURCE,
    "healthy": HEALTHY,
    "sick": SICK,
    "check": CheckPressed(),
    "run": RunPressed(),
    "scene": SceneClosed(),
    "node": NodeRemoved(),
    "server": ServerLost(),
    "pressed": RegionPressed(),
    "quiet": QuietPassed(1),
    "found": RegionFound(1, SEG),
    "drawn": RegionDrawn(1, 7),
    "missing": RegionMissing(1, "It is gone."),
    "old quiet": QuietPassed(0),
    "old found": RegionFound(0, SEG),
    "old drawn": RegionDrawn(0, 7),
    "old missing": RegionMissing(0, "It is gone."),
}
LETTERS: dict[type, str] = {AwaitQuiet: "w", AskRegion: "a", OutlineRegion: "o", DropRegion: "d"}
NOTHING = ".          | .           | .           | .           | ."
DROPPED = ".          | None !d     | None !d     | None !d     | None !d"
RESTART = "Waiting !w | Waiting !dw | Waiting !dw | Waiting !dw | Waiting !dw"
#                   None         Waiting       Looking       Shown         Missing
CELLS_OF = {
    "other finding": RESTART,
    "other, on demand": DROPPED,
    "other severity": "Waiting !w | .           | .           | .           | .",
    "same request":   "Waiting !w | .           | .           | .           | .",
    "now on demand":  ".          | None !d     | .           | .           | .",
    "wrong request": DROPPED,
    "own region": DROPPED,
    "lateral views": RESTART,
    "other source":   ".          | Waiting !dw | Waiting !dw | Waiting !dw | Waiting !dw",
    "no source": DROPPED,
    "healthy": NOTHING,
    "sick": DROPPED,
    "check":          ".          | Waiting !dw | Waiting !dw | .           | .",
    "run":            ".          | None !d     | None !d     | .           | .",
    "scene": DROPPED,
    "node": DROPPED,
    "server": DROPPED,
    "pressed":        "Looking !a | Looking !da | .           | Looking !da | Looking !da",
    "quiet":          ".          | Looking !a  | .           | .           | .",
    "found":          ".          | .           | . !o        | .           | .",
    "drawn":          ".          | .           | Shown       | .           | .",
    "missing":        ".          | .           | Missing     | .           | .",
    "old quiet": NOTHING,
    "old found": NOTHING,
    "old drawn": NOTHING,
    "old missing": NOTHING,
}  # fmt: skip
CELLS = [
    pytest.param(look, name, cell.strip(), id=f"{look.value}-{name}")
    for name, row in CELLS_OF.items()
    for look, cell in zip(Look, row.split("|"), strict=True)
]


def look_of(presenter: Presenter) -> Look:
    """How the region is."""
    return presenter.region.look


def letters(effects: tuple[Effect, ...]) -> str:
    """What is to be done with the region, as the table writes it."""
    return "".join(LETTERS[type(e)] for e in effects if isinstance(e, RegionEffect))


def test_the_table_speaks_of_every_event_and_every_turn() -> None:
    assert set(CELLS_OF) == set(EVENTS)
    assert {type(e) for e in EVENTS.values()} >= set(get_args(RegionEvent))
    assert set(LETTERS) == set(get_args(RegionEffect))
    assert set(TABLE) == set(Turn)


@pytest.mark.parametrize(("look", "name", "cell"), CELLS)
def test_every_look_answers_every_event(look: Look, name: str, cell: str) -> None:
    presenter = led(*PATHS[look])
    assert look_of(presenter) is look
    effects = presenter.handle(EVENTS[name])
    expected, _, todo = cell.partition("!")
    assert look_of(presenter).value == (look.value if expected.strip() == "." else expected.strip())
    assert letters(effects) == todo


def test_only_the_last_of_several_changes_is_asked_for() -> None:
    presenter, numbers = led(*TO_READY), [1]
    for finding in ("nodule", "mass", "fibrosis"):
        effects = presenter.handle(RequestChanged((), Choice(finding=finding)))
        numbers += [e.number for e in effects if isinstance(e, AwaitQuiet)]
    assert numbers == [1, 2, 3, 4]
    asked = [letters(presenter.handle(QuietPassed(number))) for number in numbers]
    assert asked == ["", "", "", "a"]


# Everything else of a choice leaves the region where it is.
MATTERS: dict[str, Any] = {
    "prompt": "small left effusion", "finding": "nodule", "side": "left", "zone": "upper",
    "overrides": {"boost": {"eta": 2}}, "backend": "remote", "server": "https://cxr.example.org",
}  # fmt: skip
ELSE: dict[str, Any] = {
    "direction": "remove", "severity": 0.1, "preset": "fast", "seeds": (1,), "levels": (0.5,),
    "levels_by": "guidance", "strength": 0.4, "iod": "same", "scene_only": True,
}  # fmt: skip


def test_a_region_depends_on_words_settings_place_and_nothing_else() -> None:
    assert set(MATTERS) | set(ELSE) == {field.name for field in fields(Choice)}

    def about(choice: Choice) -> object:
        return about_of(Memory(State.READY, HEALTHY, SOURCE, RequestChanged((), choice)))

    for name, value in (MATTERS | ELSE).items():
        same = about(CHOICE) == about(replace(CHOICE, **{name: value}))
        assert same == (name in ELSE), name
    typed = Choice(prompt="small left effusion")
    assert about(typed) == about(replace(typed, finding="nodule", side="left")), "words win"


def test_the_panel_says_what_is_outlined_sought_or_missing_and_it_is_no_error() -> None:
    words = {look: led(*path).view().region for look, path in PATHS.items()}
    assert words == {
        Look.NONE: "", Look.WAITING: LOOKING, Look.LOOKING: LOOKING,
        Look.SHOWN: "Outlined: 1234 pixels may change, and a soft band.",
        Look.MISSING: "No chest was found.",
    }  # fmt: skip
    presenter = led(*PATHS[Look.MISSING])
    assert presenter.state is State.READY
    assert "run" in presenter.view().enabled


def test_a_run_that_was_stopped_leaves_the_region_or_lets_it_be_looked_for_again() -> None:
    for path, look in ((SHOWN, Look.SHOWN), (WAITED, Look.WAITING)):
        presenter = led(*path, RunPressed(), CancelPressed(), Ended())
        assert presenter.state is State.READY
        assert look_of(presenter) is look


def test_after_a_run_its_own_masks_are_shown_until_another_region_is_asked_for() -> None:
    presenter = led(*SHOWN, RunPressed(), JobEvent(RESULT), Ended())
    assert letters(presenter.handle(Imported("One image."))) == "d"
    assert look_of(presenter) is Look.NONE
    assert letters(presenter.handle(ASKED_MORE)) == "", "another severity in the same region"
    assert letters(presenter.handle(RequestChanged((), NODULE))) == "w"


def test_after_a_failure_nothing_is_looked_for_but_by_hand() -> None:
    presenter = led(*TO_READY, RunPressed(), JobEvent(REFUSED), Ended())
    assert presenter.state is State.FAILED
    assert letters(presenter.handle(ASKED)) == ""
    assert letters(presenter.handle(RegionPressed())) == "a"
    assert letters(presenter.handle(HEALTHY)) == "", "nor is it forgotten"


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_asked_while_a_run_goes_on_or_a_request_is_not_valid(seed: int) -> None:
    dice, presenter = random.Random(seed), Presenter()
    more = (ASKED, CancelPressed(), Ended(), JobEvent(RESULT), JobEvent(REFUSED), Imported())
    possible = [*EVENTS.values(), *more, HEALTHY, SOURCE, RunPressed()]
    on_image = False
    for _ in range(400):
        effects = presenter.handle(dice.choice(possible))
        memory, look = presenter.memory, look_of(presenter)
        if letters(effects).strip("d"):
            assert memory.state in (State.READY, State.DONE, State.FAILED)
            assert about_of(memory) is not None
        if memory.state in (State.RUNNING, State.CANCELLING, State.IMPORTING):
            assert look not in (Look.WAITING, Look.LOOKING)
        for effect in effects:
            on_image = isinstance(effect, OutlineRegion) or (
                on_image and not isinstance(effect, DropRegion)
            )
        if on_image and memory.state in (State.READY, State.DONE):
            assert presenter.region.about == about_of(memory), "it belongs to the request"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (End(None, error="It could not be started."), "could not be started"),
        (End(2, document={"error": {"message": "A lateral.", "hint": "Other."}}), "A lateral. Oth"),
        (End(0, document={"files": [{"role": "overlay", "path": "o.png"}]}), "was not found"),
        (End(0, document={"files": "none"}), "was not found"),
        (End(11, crashed=True), "exit code 11"),
    ],
)
def test_an_answer_without_a_region_is_a_sentence(end: End, words: str) -> None:
    told = answered(end, 3, Path("out"))
    assert isinstance(told, RegionMissing)
    assert told.number == 3
    assert words in told.why


def test_an_answer_names_a_file_of_its_own_folder() -> None:
    document = {"files": [{"role": "seg", "path": "/elsewhere/../seg.dcm"}]}
    assert answered(End(0, document=document), 3, Path("out")) == RegionFound(3, SEG)
