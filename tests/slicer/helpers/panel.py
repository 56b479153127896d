# SPDX-License-Identifier: Apache-2.0
"""The module on stand-ins: its panel on a fresh scene, with processes that a test plays itself."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import qt
import slicer
from CXRCounterfactualLib.contract.events import End
from CXRCounterfactualLib.process.commands import Command
from CXRCounterfactualLib.process.environment import create_commands

from tests.slicer.helpers.scene import Desk, open_desk
from tests.slicer.standins import scripted

HEALTHY = End(0, document={"checks": [
    {"name": "python", "ok": True, "found": "3.12.10", "hint": ""},
    {"name": "weights", "ok": True, "found": "4 files, 96 MB", "hint": ""},
    {"name": "device", "ok": True, "found": "cpu, 8 threads", "hint": ""},
]})  # fmt: skip
SICK = End(3, document={"checks": [
    {"name": "python", "ok": True, "found": "3.12.10", "hint": ""},
    {"name": "weights", "ok": False, "found": "missing: cxr-mini",
     "hint": "Reinstall monai-cxr-cf from its wheel, or use a complete checkout."},
]})  # fmt: skip


NEVER = 2**31 - 1  # milliseconds: the time that nothing is changed is played too (``Stage.rest``)


@dataclass
class Played:
    """In place of ``Backend``: remembers what was started; the test says what comes of it."""

    command: Command | None = None
    asked: list[Command] = field(default_factory=list)
    cancelled: int = 0
    closed: bool = False
    _told: tuple[Callable[[Any], None], Callable[[End], None], Callable[[str], None]] | None = None

    @property
    def running(self) -> bool:
        """As of ``Backend``."""
        return self.command is not None

    def start(
        self,
        command: Command,
        on_event: Callable[[Any], None],
        on_end: Callable[[End], None],
        on_log: Callable[[str], None],
    ) -> None:
        """As of ``Backend``."""
        assert not self.running
        self.command, self._told = command, (on_event, on_end, on_log)
        self.asked.append(command)

    def cancel(self) -> None:
        """As of ``Backend``."""
        self.cancelled += 1

    def close(self) -> None:
        """As of ``Backend``."""
        self.closed = True

    def tell(self, *events: Any, log: str = "") -> None:
        """What the process says."""
        assert self._told is not None
        for event in events:
            self._told[0](event)
        if log:
            self._told[2](log)

    def end(self, end: End) -> None:
        """How the process ends."""
        assert self._told is not None
        self.command = None
        self._told[1](end)


@dataclass
class Stage:
    """The module's widget, its session, the scene around it, and the played processes."""

    widget: Any
    desk: Desk
    runs: Played
    questions: Played

    @property
    def session(self) -> Any:
        """At work."""
        return self.widget.session

    @property
    def w(self) -> Any:
        """The panel's widgets by name."""
        return self.session.widgets

    @property
    def state(self) -> str:
        """The presenter's."""
        return str(self.session.presenter.state.value)

    def healthy(self, unproven: tuple[str, ...] = ()) -> None:
        """The doctor finds all in place, and the runner says what it offers."""
        self.questions.end(HEALTHY)
        self.questions.end(End(0, document=facts(unproven)))

    def load_sample(self) -> Any:
        """As by its button; the radiograph's node."""
        self.w.sampleButton.click()
        return self.session.source

    def plan(self, folder: Path) -> None:
        """How an environment would be made, whatever Pythons this machine has."""
        plan = create_commands(folder, "/opt/monai-cxr-cf", python=sys.executable)
        self.session.setup.card.plan = lambda: plan

    def rest(self) -> None:
        """As if the user had changed nothing for a while."""
        timer = self.session.looker.timer
        if timer.isActive():
            timer.timeout.emit()
            timer.stop()

    def settle(self) -> None:
        """Let the event loop do what waits in it."""
        for _ in range(3):
            qt.QApplication.processEvents()


def facts(unproven: tuple[str, ...] = ()) -> dict[str, Any]:
    """As ``cxr-cf info --json``."""
    from CXRCounterfactualLib.contract.asking import FINDINGS, ON_THE_MIDLINE

    about = {
        name: {"region": [["lung", None if name in ON_THE_MIDLINE else "named"]]}
        for name in FINDINGS
    }
    licence = "research and non-commercial use only"
    weights = [
        {"file": "cxr-mini/unet.safetensors", "sha256": "0" * 64, "licence": "Apache-2.0"},
        {"file": "segmenter/model.pt", "sha256": "1" * 64, "licence": licence},
    ]
    return {
        "versions": {"monai-cxr-cf": "0.1.0"},
        "findings": about,
        "unproven_findings": list(unproven),
        "zones": ["upper", "lower"],
        "presets": {"default": {}, "fast": {}, "paper": {}},
        "weights": weights,
        "intended_use": "Research only.",
    }


def load_module(desk: Desk) -> ModuleType:
    """The module's file, as Slicer would load it; the application is the desk's."""
    _kept.append(qt.QApplication.instance() or qt.QApplication(sys.argv[:1]))
    sys.modules["slicer.ScriptedLoadableModule"] = scripted
    slicer.mrmlScene = desk.scene
    slicer.app = SimpleNamespace(
        processEvents=qt.QApplication.processEvents, connect=lambda signal, slot: None
    )
    import CXRCounterfactual

    return CXRCounterfactual


def open_stage(desk: Desk, *, python: str = sys.executable, real: bool = False) -> Stage:
    """The panel as Slicer opens it, with an environment that is said to exist.

    Args:
        desk: the scene and the application around it.
        python: of that environment.
        real: processes are started for real, not played.
    """
    desk.app.set_setting("python", python)
    module = load_module(desk)
    runs, questions = Played(), Played()

    class Widget(module.CXRCounterfactualWidget):  # type: ignore[name-defined,misc]
        def application(self) -> Any:
            return desk.app

        def backends(self) -> Any:
            return super().backends() if real else module.Backends(runs, questions)

    Widget.__module__ = module.__name__
    parent = qt.QWidget()
    parent.setLayout(qt.QVBoxLayout())
    widget = Widget(parent)
    widget.setup()
    if not real:
        widget.session.looker.timer.setInterval(NEVER)
    return Stage(widget, desk, runs, questions)


def close_stage(stage: Stage) -> None:
    """As Slicer unloads a module."""
    parent = stage.widget.parent
    if stage.session is not None:
        stage.widget.cleanup()
    parent.deleteLater()
    qt.QApplication.processEvents()
    # Outside a running loop Qt keeps what is to be deleted for the next loop: that of a later test,
    # which would first spend a quarter of a second on every panel before it.
    qt.QApplication.sendPostedEvents(parent, qt.QEvent.Type.DeferredDelete.value)


_kept: list[Any] = []  # the one application of the session


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An open panel on an empty scene."""
    for desk in open_desk(tmp_path):
        opened = open_stage(desk)
        yield opened
        close_stage(opened)


@pytest.fixture
def ready(stage: Stage) -> Stage:
    """The same with a runner that is well and the sample radiograph."""
    stage.widget.enter()
    stage.healthy()
    stage.load_sample()
    assert stage.state == "Ready"
    return stage


def rehearsed(stage: Stage) -> Any:
    """Let the rehearsal write the files of the run that was started; its result event."""
    from CXRCounterfactualLib import rehearsal
    from CXRCounterfactualLib.contract.decoder import LineDecoder

    command = stage.runs.command
    assert command is not None
    assert command.folder is not None
    lines: list[str] = []

    def told(event: str, facts: dict[str, Any]) -> None:
        lines.append(json.dumps({"event": event, **facts}))

    usual, pause = rehearsal.tell, rehearsal.PAUSE
    rehearsal.tell, rehearsal.PAUSE = told, 0.0
    try:
        rehearsal.run(command.folder.parent / "job.json", command.folder)
    finally:
        rehearsal.tell, rehearsal.PAUSE = usual, pause
    *_, result = LineDecoder(command.folder).feed("\n".join([*lines, ""]).encode())
    return result


def wait_for(stage: Stage, state: str, seconds: float = 30.0) -> None:
    """Let the event loop run until the presenter is there."""
    end = time.monotonic() + seconds
    while stage.state != state and time.monotonic() < end:
        qt.QApplication.processEvents()
        time.sleep(0.002)
    assert stage.state == state, stage.session.presenter.view()
