# SPDX-License-Identifier: Apache-2.0
"""Looks for the region before a run: waits, asks the runner, draws the outline, takes it away.

It does what ``regions`` decides, and tells what comes of it with the number of the look. No qt.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..contract.events import Failed
from ..contract.failures import failure
from ..presenter import regions
from ..presenter.states import Happening, QuietPassed, RegionDrawn, RegionMissing
from ..process.questions import Question, Questions
from ..refused import Refused
from ..scene import mask_files, segments

if TYPE_CHECKING:
    from ..contract.events import End
    from ..process.commands import Command
    from ..scene.app_services import SlicerApp

log = logging.getLogger(__name__)
QUIET_MS = 500  # from the last change to the question
OUT = "out"


class Timer(Protocol):
    """Calls once, ``QUIET_MS`` after its last start."""

    def start(self) -> None:
        """From now on; again if it was started before."""

    def stop(self) -> None:
        """Not at all."""


class Looker:
    """The hands of the region.

    Args:
        app: for temporary folders and the scene.
        questions: where the runner is asked.
        command: the question for a new folder; may raise Refused.
        tell: hears of everything.
        timer: makes one that calls what it is given.
    """

    def __init__(
        self,
        app: "SlicerApp",
        questions: Questions,
        *,
        command: Callable[[Path], "Command"],
        tell: Callable[[Happening], None],
        timer: Callable[[Callable[[], None]], Timer],
    ) -> None:
        self._app, self._questions, self._command, self._tell = app, questions, command, tell
        self._number = 0
        self._asked: tuple[Question, Path] | None = None
        self._folders: set[Path] = set()
        self.timer = timer(lambda: tell(QuietPassed(self._number)))

    def wait(self, number: int) -> None:
        """Tell when nothing was asked of this for a while."""
        self._number = number
        self.timer.start()

    def ask(self, number: int) -> None:
        """Ask the runner; why it cannot be asked is told like any other answer."""
        folder: Path | None = None
        try:
            folder = Path(self._app.temp_folder())
            command = self._command(folder)
        except Exception as error:  # a full disk, a lost folder: a hint, whatever it was
            why = error if isinstance(error, Refused) else _unexpected(error)
            if folder is not None:
                self._forget(folder)
            self._tell(RegionMissing(number, f"{why.message} {why.hint}".strip()))
            return
        self._folders.add(folder)

        def answered(end: "End") -> None:
            try:
                self._tell(regions.answered(end, number, folder / OUT))
            finally:
                self._forget(folder)

        self._asked = (Question(command, answered), folder)
        self._questions.ask(self._asked[0])

    def outline(self, number: int, seg: Path, source: Any) -> None:
        """Draw what was found on the radiograph."""
        try:
            mask = mask_files.masks_of_seg(seg)["edit_region"]
            segments.show_region(self._app.scene(), source, mask)
        except (Refused, KeyError) as refused:
            why = refused.message if isinstance(refused, Refused) else "It has no pixels."
            self._tell(RegionMissing(number, why))
            return
        self._tell(RegionDrawn(number, int(mask.sum())))

    def drop(self) -> None:
        """Nothing on the image, nobody asked."""
        self.timer.stop()
        if self._asked is not None:
            question, folder = self._asked
            self._asked = None
            if self._questions.withdraw(question):  # nobody will answer
                self._forget(folder)
        segments.hide_region(self._app.scene())

    def close(self) -> None:
        """The end of the module; those who were asked are stopped by then."""
        self.timer.stop()
        self._forget(*self._folders)

    def _forget(self, *folders: Path) -> None:
        """A question's folder names a patient's file: it goes at once."""
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            self._folders.discard(folder)


def _unexpected(error: Exception) -> Failed:
    log.error("A question for the region could not be prepared: %s.", type(error).__name__)
    return failure("not_prepared")
