# SPDX-License-Identifier: Apache-2.0
"""Page, presenter, processes and scene, wired together; it decides nothing.

What the user does and what a process tells become inputs of the extension's presenter; the effects
that it answers with are performed by the extension's ``Performer``, and its view is shown.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CXRCounterfactualLib.contract.asking import ON_THE_MIDLINE
from CXRCounterfactualLib.contract.params import problems
from CXRCounterfactualLib.panel.effects import Performer
from CXRCounterfactualLib.panel.job_runner import JobRunner
from CXRCounterfactualLib.panel.looker import Looker
from CXRCounterfactualLib.presenter import states
from CXRCounterfactualLib.presenter.presenter import Presenter
from CXRCounterfactualLib.presenter.regions import LOOKING
from CXRCounterfactualLib.presenter.states import Happening, State
from CXRCounterfactualLib.process.questions import Questions
from CXRCounterfactualLib.refused import Refused
from CXRCounterfactualLib.scene import dicom_source, hierarchy
from CXRCounterfactualLib.scene.history import Added, history
from CXRCounterfactualLib.scene.layout import Badge

from . import fields
from .checking import Checking
from .children import Children
from .comparing import ComparePage
from .quiet import Quiet

if TYPE_CHECKING:
    from CXRCounterfactualLib.contract.facts import Facts
    from CXRCounterfactualLib.process.commands import Command
    from CXRCounterfactualLib.process.doctor import Diagnosis

    from .application import ViewerApp
    from .views import Views

TONE = {
    State.DONE: "good", State.FAILED: "bad", State.NO_RUNNER: "doubt", State.RUNNING: "busy",
    State.CANCELLING: "busy", State.IMPORTING: "busy",
}  # fmt: skip


class ViewerSession:
    """One user's work, the ``Surface`` in the browser; there is one at a time.

    Args:
        server: the trame server; its state holds the fields of the page.
        app: what stands where the Slicer application is.
        views: what is seen.
    """

    def __init__(self, server: Any, app: "ViewerApp", views: "Views") -> None:
        self._state, self._app, self._views = server.state, app, views
        self._facts: Facts | None = None
        self.source: Any = None
        self.presenter = Presenter()
        self.questions = Questions(Children())
        self.setup = Checking(app, self.questions)
        self.setup.listen(self._checked, self._informed)
        self.compare = ComparePage(app, self._state)
        self._to_result: Callable[[], None] = lambda: None
        self.runner = JobRunner(app, Children(), setup=self.setup, surface=self)
        self.looker = Looker(
            app, self.questions, command=self._region_command, tell=self.feed, timer=Quiet
        )
        self.performer = Performer(self, app, runner=self.runner, looker=self.looker)
        self.badge = Badge(app)
        self._state.finding_items, self._state.prompt_items = fields.findings(), fields.prompts()
        self._state.change(*fields.ASKED)(self.changed)

    def on_result(self, callback: Callable[[], None]) -> None:
        """Who hears that a new result is in view."""
        self._to_result = callback

    def begin(self) -> None:
        """The server is there: is the runner, too?"""
        self.badge.start()
        self.changed()
        self.feed(states.CheckPressed())

    def close(self) -> None:
        """The end: no process, no file is left."""
        self.badge.stop()
        self.runner.close()
        self.questions.close()
        self.looker.close()
        self._app.close()

    # What the user does

    def open_file(self, path: Path, name: str) -> bool:
        """Take a radiograph from a file; False if it is none, and the page says why."""
        with self._state:
            if self.presenter.state in (State.RUNNING, State.CANCELLING, State.IMPORTING):
                self._state.source_words = "A run is going on; cancel it first."
                return False
            try:
                node = self._app.open_radiograph(path)
                dicom_source.check(self._app, node)
            except Refused as refused:
                self._state.source_words = f"{refused.message} {refused.hint}"
                return False
            self._take(node, name)
            return True

    def _take(self, node: Any, name: str) -> None:
        """Only one radiograph is in the scene, with what was made of it."""
        scene, before = self._app.scene(), self.source
        self.compare.forget()
        self.source = node
        for old in history(scene):
            self._remove(old)
        if before is not None:
            hierarchy.remove(scene, before)
        self._views.show(node.GetID())
        self._state.source_name, self._state.source_words = name, ""
        self._state.past = []
        self.feed(states.SourceChanged(True, "", str(node.GetID())))
        self.changed()

    def _remove(self, added: Added) -> None:
        scene = self._app.scene()
        for identifier in (*added.volume_ids, added.segmentation_id, added.change_id):
            node = scene.GetNodeByID(identifier) if identifier else None
            if node is not None:
                hierarchy.remove(scene, node)

    @property
    def results(self) -> Path | None:
        """What the last run wrote; None if it wrote nothing, or another one is going on."""
        return self.runner.out if self.presenter.state is State.DONE else None

    def changed(self, **_: Any) -> None:
        """Something was picked or typed: can it be run?"""
        state = self._state
        choice, found = fields.asked(state)
        state.sided = choice.finding not in ON_THE_MIDLINE
        state.finding_note = fields.note(choice.finding, state.way, self._facts)
        found = [*found, *problems(choice)]
        told, reading = tuple(dict.fromkeys(found)), tuple(sorted(self.reading()))
        self.feed(states.RequestChanged(told, choice, reading=reading))

    def run(self) -> None:
        """The button Run."""
        self.feed(states.RunPressed())

    def cancel(self) -> None:
        """The button Cancel."""
        self.feed(states.CancelPressed())

    def dismiss(self) -> None:
        """The user has read it."""
        self.feed(states.Dismissed())

    def check(self) -> None:
        """Look at the runner again."""
        self.feed(states.CheckPressed())

    def show_region(self) -> None:
        """Outline where the edit would act; it is also shown by itself, a moment after a change."""
        self.feed(states.RegionPressed())

    def _region_command(self, folder: Path) -> "Command":
        """Which region would the request as it is now act in?"""
        return self.runner.region_command(fields.asked(self._state)[0], folder)

    def show_past(self, run: str) -> None:
        """An earlier run of this radiograph."""
        for added in history(self._app.scene()):
            if added.run == run:
                self.compare.show(added)

    # What follows

    def feed(self, happening: Happening) -> None:
        """Let something happen, show it, and do what follows."""
        with self._state:
            effects = self.presenter.handle(happening)
            self._show()
            for effect in effects:
                self.performer.perform(effect)

    def _show(self) -> None:
        view, now, state = self.presenter.view(), self.presenter.state, self._state
        state.state, state.title, state.message, state.hint = (
            now.value, view.title, view.message, view.hint)  # fmt: skip
        state.tone = TONE.get(now, "plain")
        state.region_words, state.region_busy = view.region, view.region == LOOKING
        state.running = now in (State.RUNNING, State.CANCELLING)
        state.failed, state.busy = now is State.FAILED, view.busy
        state.savable = now is State.DONE
        state.progress = view.progress or 0
        state.details, state.report = view.details, self.presenter.report()
        state.warnings, state.enabled = list(view.warnings), sorted(view.enabled)
        state.run_label = view.run_label
        state.estimate = view.estimate and f"{view.estimate[0].upper()}{view.estimate[1:]}."

    def _checked(self, diagnosis: "Diagnosis") -> None:
        with self._state:
            self._state.checks = [
                {"name": row.name, "ok": row.ok, "found": row.found, "hint": row.hint}
                for row in diagnosis.rows
            ]
        told = states.Checked(diagnosis.ok, diagnosis.problems, "", self.setup.device)
        self.feed(told)

    def _informed(self, facts: "Facts") -> None:
        self._facts, state = facts, self._state
        with state:
            state.finding_items = fields.findings(facts.findings, facts.unproven)
            state.prompt_items = fields.prompts(facts.findings)
            state.licences = [f"{part}: {licence}" for part, licence in facts.licences]
        self.changed()

    # What is asked of a surface

    def check_runner(self) -> None:
        """Ask the doctor."""
        self.setup.check()

    def reading(self) -> dict[str, bool]:
        """What the strict reader may let pass, as ticked."""
        return dict.fromkeys(self._state.accepted, True)

    def write_region(self, folder: Path) -> Path | None:
        """No region can be drawn here: the finding decides."""
        return None

    def list_runs(self) -> None:
        """The runs of this radiograph, the newest first."""
        runs = history(self._app.scene())
        self._state.past = [{"title": f"{i}  {added.words}", "value": added.run}
                            for i, added in list(enumerate(runs, 1))[::-1]]  # fmt: skip
        self._to_result()

    def show_result(self, made: Added, verdict: Sequence[str]) -> None:
        """The new run beside its source."""
        self.compare.show(made, verdict)

    def show_preview(self, path: Path) -> None:
        """A picture of the run while it goes on."""
        self._state.preview = f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"

    def clear_preview(self) -> None:
        """No picture."""
        self._state.preview = ""
