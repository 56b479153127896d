# SPDX-License-Identifier: Apache-2.0
"""Who shows a run: the panel has the whole face, and what the presenter asks goes through it."""

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from CXRCounterfactualLib.panel.effects import Performer
from CXRCounterfactualLib.panel.session import PanelSession
from CXRCounterfactualLib.presenter import states
from CXRCounterfactualLib.presenter.surface import Surface

from tests.slicer.helpers.panel import Stage, ready, stage
from tests.slicer.helpers.presenting import RESULT

__all__ = ["ready", "stage"]
SEG = Path("seg.dcm")
# What is asked -> who does it: the surface, the runner or the looker, and with what.
DONE: dict[states.Effect, tuple[Any, ...]] = {
    states.CheckRunner(): ("check_runner",),
    states.StartJob(4): ("runner.start", 4),
    states.CancelJob(): ("runner.cancel",),
    states.CleanFolder(): ("runner.clean",),
    states.ShowPreview(Path("one.png")): ("show_preview", Path("one.png")),
    states.ClearPreview(): ("clear_preview",),
    states.AwaitQuiet(7): ("looker.wait", 7),
    states.AskRegion(7): ("looker.ask", 7),
    states.OutlineRegion(7, SEG): ("looker.outline", 7, SEG, "the node"),
    states.DropRegion(): ("looker.drop",),
    states.ShowCompare(): ("list_runs",),  # no result was brought in yet
}


class Recorder:
    """Notes every call under its name."""

    source = "the node"

    def __init__(self, calls: list[tuple[Any, ...]], before: str = "") -> None:
        self._calls, self._before = calls, before

    def __getattr__(self, name: str) -> Any:
        return lambda *words: self._calls.append((self._before + name, *words))


def face(kind: type) -> dict[str, inspect.Signature]:
    """Public methods by name."""
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: inspect.signature(each) for name, each in found if name[0] != "_"}


def test_the_panel_has_every_method_of_a_surface_with_its_parameters() -> None:
    ours = face(PanelSession)
    assert len(face(Surface)) == 8
    for name, signature in face(Surface).items():
        assert list(ours[name].parameters) == list(signature.parameters), name


def test_the_open_panel_holds_what_a_surface_holds(ready: Stage) -> None:
    assert set(Surface.__annotations__) == {"presenter"}
    assert ready.session.presenter.state is states.State.READY
    assert ready.session.source.GetID() == ready.w.sourceSelector.currentNodeID


def test_every_effect_is_an_example_here() -> None:
    shown = {type(effect) for effect in DONE} | {states.ImportResult}
    assert shown == set(states.Effect.__args__)


@pytest.mark.parametrize("effect", DONE, ids=lambda effect: type(effect).__name__)
def test_what_is_asked_is_done_by_one_call(effect: states.Effect) -> None:
    calls: list[tuple[Any, ...]] = []
    performer = Performer(
        Recorder(calls), SimpleNamespace(), runner=Recorder(calls, "runner."),
        looker=Recorder(calls, "looker."),
    )  # fmt: skip
    performer.perform(effect)
    assert calls == [DONE[effect]]


def test_a_result_waits_until_the_process_has_spoken() -> None:
    later: list[Any] = []
    calls: list[tuple[Any, ...]] = []
    application = SimpleNamespace(later=later.append)
    performer = Performer(
        Recorder(calls), application, runner=Recorder(calls), looker=Recorder(calls)
    )
    performer.perform(states.ImportResult(RESULT))
    assert calls == []
    assert len(later) == 1
