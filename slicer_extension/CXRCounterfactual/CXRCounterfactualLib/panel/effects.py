# SPDX-License-Identifier: Apache-2.0
"""Does what the presenter asks for: start, stop, import, show, clean up."""

import json
import logging
from typing import TYPE_CHECKING

from ..contract.params import Choice
from ..presenter import states
from ..refused import Refused
from ..scene import results
from ..scene.history import Added, history

if TYPE_CHECKING:
    from ..contract.events import Result
    from ..scene.app_services import SlicerApp
    from .session import Session

log = logging.getLogger(__name__)
TIMINGS = "timings"  # the setting that keeps how long runs took


class Performer:
    """The hands of a session."""

    def __init__(self, session: "Session", app: "SlicerApp") -> None:
        self._session, self._app = session, app
        self._added: Added | None = None

    def perform(self, effect: states.Effect) -> None:
        """Do one thing; what comes of it is told to the presenter."""
        session = self._session
        if isinstance(effect, states.StartJob):
            choice = session.presenter.choice or Choice()
            session.runner.start(effect.job, choice, session.source, session.region)
        elif isinstance(effect, states.ImportResult):
            # Not from inside the process's own signal: importing may take a second or two.
            result = effect.result
            self._app.later(lambda: self.bring_in(result))
        elif isinstance(effect, states.ShowPreview):
            session.status.show_preview(effect.path)
        elif isinstance(effect, states.AwaitQuiet):
            session.looker.wait(effect.number)
        elif isinstance(effect, states.AskRegion):
            session.looker.ask(effect.number)
        elif isinstance(effect, states.OutlineRegion):
            session.looker.outline(effect.number, effect.seg, session.source)
        else:
            {
                states.DropRegion: session.looker.drop,
                states.CheckRunner: session.setup.check,
                states.CancelJob: session.runner.cancel,
                states.ClearPreview: session.status.clear_preview,
                states.CleanFolder: session.runner.clean,
                states.ShowCompare: self._show,
            }[type(effect)]()

    def bring_in(self, result: "Result") -> None:
        """Import a result; whatever goes wrong is a message, never a lost panel."""
        session, folder = self._session, self._session.runner.out
        choice = session.presenter.choice or Choice()
        try:
            if session.source is None or folder is None:
                raise Refused("The radiograph was closed before its result came.", "Load it again.")
            self._added = results.add_results(
                self._app.scene(), self._app, session.source, result, folder,
                scene_only=choice.scene_only,
            )  # fmt: skip
        except Refused as refused:
            session.feed(states.ImportFailed(refused.message, refused.hint))
        except Exception:  # of any library below: told to the user, kept in the log
            log.exception("A result could not be imported.")
            session.feed(states.ImportFailed(""))
        else:
            session.feed(states.Imported(summary(self._added)))
        self._app.set_setting(TIMINGS, json.dumps(session.presenter.timings))

    def _show(self) -> None:
        session = self._session
        session.past.show(history(self._app.scene()))
        if self._added is not None:
            session.compare.show(self._added, session.presenter.view().verdict)


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
