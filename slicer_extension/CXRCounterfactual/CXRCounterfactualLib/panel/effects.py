# SPDX-License-Identifier: Apache-2.0
"""Does what the presenter asks for: start, stop, import, show, clean up. No qt."""

import json
import logging
from typing import TYPE_CHECKING

from ..contract.params import Choice
from ..presenter import states
from ..presenter.surface import Surface
from ..refused import Refused
from ..scene import results
from ..scene.history import Added

if TYPE_CHECKING:
    from ..contract.events import Result
    from ..scene.app_services import SlicerApp
    from .job_runner import JobRunner
    from .looker import Looker

log = logging.getLogger(__name__)
TIMINGS = "timings"  # the setting that keeps how long runs took


class Performer:
    """The hands of a presenter.

    Args:
        surface: who shows the run.
        app: the calls into the application.
        runner: starts and stops runs.
        looker: looks for the region before a run.
    """

    def __init__(
        self, surface: Surface[Added], app: "SlicerApp", *, runner: "JobRunner", looker: "Looker"
    ) -> None:
        self._surface, self._app, self._runner, self._looker = surface, app, runner, looker
        self._added: Added | None = None

    def perform(self, effect: states.Effect) -> None:
        """Do one thing; what comes of it is told to the presenter."""
        surface, runner, looker = self._surface, self._runner, self._looker
        if isinstance(effect, states.StartJob):
            runner.start(effect.job)
        elif isinstance(effect, states.ImportResult):
            # Not from inside the process's own signal: importing may take a second or two.
            result = effect.result
            self._app.later(lambda: self.bring_in(result))
        elif isinstance(effect, states.ShowPreview):
            surface.show_preview(effect.path)
        elif isinstance(effect, states.AwaitQuiet):
            looker.wait(effect.number)
        elif isinstance(effect, states.AskRegion):
            looker.ask(effect.number)
        elif isinstance(effect, states.OutlineRegion):
            looker.outline(effect.number, effect.seg, surface.source)
        else:
            {
                states.DropRegion: looker.drop,
                states.CheckRunner: surface.check_runner,
                states.CancelJob: runner.cancel,
                states.ClearPreview: surface.clear_preview,
                states.CleanFolder: runner.clean,
                states.ShowCompare: self._show,
            }[type(effect)]()

    def bring_in(self, result: "Result") -> None:
        """Import a result; whatever goes wrong is a message, never a lost panel."""
        surface, folder = self._surface, self._runner.out
        choice = surface.presenter.choice or Choice()
        try:
            if surface.source is None or folder is None:
                raise Refused("The radiograph was closed before its result came.", "Load it again.")
            self._added = results.add_results(
                self._app.scene(), self._app, surface.source, result, folder,
                scene_only=choice.scene_only,
            )  # fmt: skip
        except Refused as refused:
            surface.feed(states.ImportFailed(refused.message, refused.hint))
        except Exception:  # of any library below: told to the user, kept in the log
            log.exception("A result could not be imported.")
            surface.feed(states.ImportFailed(""))
        else:
            surface.feed(states.Imported(summary(self._added)))
        self._app.set_setting(TIMINGS, json.dumps(surface.presenter.timings))

    def _show(self) -> None:
        surface = self._surface
        surface.list_runs()
        if self._added is not None:
            surface.show_result(self._added, surface.presenter.view().verdict)


def summary(added: Added) -> str:
    """What is in the scene now, in one sentence."""
    count = len(added.volume_ids)
    images = "1 image" if count == 1 else f"{count} images"
    words = f"{added.words[:1].upper()}{added.words[1:]}"
    return f"{words}: {images}, masks and a change map are in the scene."


def timings(app: "SlicerApp") -> list[tuple[str, int, float]]:
    """How long earlier runs took, as kept in the settings; none if that cannot be read."""
    try:
        kept = json.loads(app.settings(TIMINGS, "[]"))
        return [(str(preset), int(images), float(seconds)) for preset, images, seconds in kept]
    except (ValueError, TypeError):
        return []
