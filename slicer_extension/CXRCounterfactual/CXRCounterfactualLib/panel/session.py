# SPDX-License-Identifier: Apache-2.0
"""Panel, presenter, back ends and scene of one module, wired together; it decides nothing.

What the user does and what a process tells become inputs of the presenter; the effects that it
answers with are performed here, and its view is shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt

from ..contract.params import Choice, Parameters, problems
from ..presenter import states
from ..presenter.presenter import Presenter
from ..presenter.states import Happening, State
from ..process.questions import Questions
from ..refused import Refused
from ..scene import dicom_source
from ..scene.history import SYNTHETIC, Added, history
from ..scene.layout import Badge, Compare
from .classifier_panel import ClassifierPanel
from .compare_panel import ComparePanel
from .effects import Performer, timings
from .history_panel import HistoryPanel
from .job_runner import JobRunner
from .looker import QUIET_MS, Looker
from .region_panel import RegionPanel
from .request_panel import RequestPanel
from .setup_panel import SetupPanel, licence_words
from .status_panel import StatusPanel, copy
from .widgets import Widgets, on, quiet, say

if TYPE_CHECKING:
    from ..contract.facts import Facts
    from ..process.backend import Backend
    from ..process.commands import Command
    from ..process.doctor import Diagnosis
    from ..scene.app_services import SlicerApp

ORIGINAL = "Its original DICOM file is used."
DAMAGED = "<b>This scene's settings were damaged</b>; these stand at their defaults: {}."


@dataclass(frozen=True)
class Backends:
    """Two processes at a time: a run, and a small question beside it."""

    runs: "Backend"
    questions: "Backend"


class PanelSession:
    """One panel at work: the ``Surface`` in Slicer.

    Args:
        root: the loaded .ui.
        parameters: gives the parameter node of the scene that is open now.
        app: the calls into the application.
        backends: what runs processes.
    """

    def __init__(
        self,
        root: Any,
        parameters: Callable[[], Parameters],
        *,
        app: "SlicerApp",
        backends: Backends,
    ) -> None:
        self.widgets = w = Widgets(root)
        self._parameters, self._app = parameters, app
        self.presenter = Presenter(timings(app))
        self.questions = Questions(backends.questions)
        self._facts: Facts | None = None
        self._open = True
        self._damaged = ""  # what the scene says about the settings and nobody can read
        self.status = StatusPanel(w)
        self.setup = SetupPanel(w, app, self.questions, self.changed)
        self.setup.listen(self._checked, self._informed)
        self.request = RequestPanel(w, self.changed)
        self.region = RegionPanel(w, app, parameters, self.changed)
        self.compare = ComparePanel(w, Compare(app), app.scene)
        self.past = HistoryPanel(w, self.compare.show, self._use)
        self.classifier = ClassifierPanel(w, app, self.questions, self.setup, self.compare)
        self.badge = Badge(app)
        self.runner = JobRunner(app, backends.runs, setup=self.setup, surface=self)
        self.looker = Looker(
            app, self.questions, command=self._region_command, tell=self.feed, timer=quiet_timer
        )
        self.performer = Performer(self, app, runner=self.runner, looker=self.looker)
        app.on_layout_changed(self.badge.update)
        self._wire()
        self.status.clear_preview()
        self.status.show(self.presenter.view(), self.presenter.state)

    def _wire(self) -> None:
        w = self.widgets
        for selector in (w.sourceSelector, w.segmentationSelector):
            selector.setMRMLScene(self._app.scene())
        on(w.sourceSelector.currentNodeChanged, self.source_changed)
        on(w.runButton.clicked, lambda: self.feed(states.RunPressed()))
        on(w.cancelButton.clicked, lambda: self.feed(states.CancelPressed()))
        on(w.dismissButton.clicked, lambda: self.feed(states.Dismissed()))
        for button in (w.checkAgainButton, w.doctorButton):
            on(button.clicked, lambda: self.feed(states.CheckPressed()))
        for edit in (w.serverEdit, w.keyEdit):
            on(edit.editingFinished, self._server_typed)
        on(w.copyReportButton.clicked, lambda: copy(self.presenter.report()))
        on(w.showRegionButton.clicked, lambda: self.feed(states.RegionPressed()))

    def on_sample(self, load: Callable[[], Any]) -> None:
        """What the button for the sample radiograph does."""

        def pressed() -> None:
            node = load()
            self.widgets.sourceSelector.setCurrentNodeID(node.GetID())

        on(self.widgets.sampleButton.clicked, pressed)

    # Coming and going

    def enter(self) -> None:
        """The module is shown: what does the scene say, and is the runner there?"""
        self.badge.start()
        self.restore()
        if self.presenter.state is State.NO_RUNNER:
            self.feed(states.CheckPressed())

    def exit(self) -> None:
        """Another module is shown: the user's own views come back, the mark stays."""
        self.compare.leave()

    def close(self) -> None:
        """The module goes away; what its widgets say while they do is not heard."""
        self._open = False
        for selector in (self.widgets.sourceSelector, self.widgets.segmentationSelector):
            selector.setMRMLScene(None)
        self.compare.leave()
        self.badge.stop()
        self.runner.close()
        self.questions.close()
        self.looker.close()

    def restore(self) -> None:
        """Show what the scene holds: its parameters, its runs, a radiograph to start with."""
        w, parameters = self.widgets, self._parameters()
        choice, damaged = parameters.read(), parameters.damaged()
        self._damaged = DAMAGED.format(", ".join(damaged)) if damaged else ""
        self.request.write(choice)
        self.setup.write(choice)
        self.region.restore()
        if not parameters.source_id:
            parameters.source_id = dicom_source.first(self._app)  # one click less
        with quiet(w.sourceSelector):
            w.sourceSelector.setCurrentNodeID(parameters.source_id)
        self.list_runs()
        self.source_changed()
        self.changed()

    def scene_closed(self) -> None:
        """All nodes are gone."""
        self.compare.forget()
        self.past.show(())
        self.feed(states.SceneClosed())

    def node_removed(self, node: Any) -> None:
        """One node is about to go: was it the radiograph, or one of a run?"""
        shown, identifier = self.compare.shown, node.GetID()
        if shown is not None and identifier in (shown.source_id, *shown.volume_ids):
            self.compare.forget()
        if identifier == self._parameters().source_id:
            self.feed(states.NodeRemoved())
        elif node.GetAttribute(SYNTHETIC):
            self._app.later(self.list_runs)

    # What the user changes

    @property
    def source(self) -> Any:
        """The radiograph's node, or None."""
        identifier = self._parameters().source_id
        return self._app.scene().GetNodeByID(identifier) if identifier else None

    def source_changed(self) -> None:
        """Another radiograph, or the same one looked at again."""
        if not self._open:
            return
        chosen = str(self.widgets.sourceSelector.property("currentNodeID") or "")
        self._parameters().source_id = chosen
        label, node = self.widgets.sourceStatusLabel, self.source
        self.widgets.sampleButton.setVisible(node is None)
        try:
            dicom_source.check(self._app, node)
        except Refused as refused:
            say(label, f"{refused.message} {refused.hint}" if chosen else refused.hint)
            self.feed(states.SourceChanged(False, refused.message if chosen else ""))
            return
        known = any(self._app.files_for_instance(u) for u in self._app.instance_uids(node))
        say(label, ORIGINAL if known else dicom_source.NO_DICOM)
        self.feed(states.SourceChanged(True, "", chosen))

    def changed(self) -> None:
        """Read the panel, keep it in the scene, and ask whether it can be run."""
        if not self._open:
            return
        choice, found = self.read()
        parameters = self._parameters()
        if choice != parameters.read():
            parameters.write(choice)
        self.request.refresh(self._licence(), self._damaged)
        found = [*found, *self.region.problems, *problems(choice)]
        region = {"own_region": self.region.own, "by_itself": self.region.by_itself}
        reading = tuple(sorted(self.reading()))
        told = tuple(dict.fromkeys(found))
        self.feed(states.RequestChanged(told, choice, **region, reading=reading))

    def _server_typed(self) -> None:
        if self._open and self.setup.stale:
            self.feed(states.CheckPressed())

    def read(self) -> tuple[Choice, list[str]]:
        """The panel's choice, and what it cannot mean."""
        choice, found = self.request.read(Choice())
        choice, more = self.setup.read(choice)
        return choice, found + more

    def _use(self, added: Added) -> None:
        """The settings of a past run; where it runs stays as it is."""
        choice, _ = self.setup.read(Choice(**added.choice))
        self.request.write(choice)
        self.changed()

    def feed(self, happening: Happening) -> None:
        """Let something happen, show it, and do what follows."""
        effects = self.presenter.handle(happening)
        view = self.presenter.view()
        self.status.show(view, self.presenter.state)
        self.region.tell(view.region)
        for effect in effects:
            self.performer.perform(effect)

    def _checked(self, diagnosis: "Diagnosis") -> None:
        ok, told = diagnosis.ok, diagnosis.problems
        command = "" if ok or self.setup.remote else self.setup.card.plan_text
        self.feed(states.Checked(ok, told, command, self.setup.device))

    def _informed(self, facts: "Facts") -> None:
        self._facts = facts
        self.request.show_findings(facts.findings, tuple(facts.unproven))
        self.request.refresh(self._licence(), self._damaged)

    def _licence(self) -> str:
        facts = self._facts
        return "" if facts is None else licence_words(facts)

    def _region_command(self, folder: Path) -> "Command":
        """Which region would the request as it is now act in?"""
        return self.runner.region_command(self.read()[0], folder)

    # What is asked of a surface

    def check_runner(self) -> None:
        """Ask the doctor."""
        self.setup.check()

    def reading(self) -> dict[str, bool]:
        """What the strict reader may let pass, as ticked."""
        return self.request.reading()

    def write_region(self, folder: Path) -> Path | None:
        """The drawn segment; None: the finding decides."""
        return self.region.write(self.source, folder)

    def show_preview(self, path: Path) -> None:
        """A picture of the run while it goes on."""
        self.status.show_preview(path)

    def clear_preview(self) -> None:
        """No picture."""
        self.status.clear_preview()

    def list_runs(self) -> None:
        """The runs of the scene, with their settings."""
        self.past.show(history(self._app.scene()))

    def show_result(self, made: Added, verdict: Sequence[str]) -> None:
        """The new run beside its source."""
        self.compare.show(made, verdict)


def quiet_timer(heard: Callable[[], None]) -> Any:
    """Of the application's event loop, for ``Looker``."""
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(QUIET_MS)
    on(timer.timeout, heard)
    return timer
