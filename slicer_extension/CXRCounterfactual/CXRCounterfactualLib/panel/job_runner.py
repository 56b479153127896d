# SPDX-License-Identifier: Apache-2.0
"""One run at a time: the panel's choice in, a process started, its events and its end told.

Each run has a temporary folder with its job file, its drawn region and what the runner writes.
"""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..contract import jobs
from ..contract.events import Failed, Warned
from ..contract.failures import ended, failure
from ..contract.params import REMOTE, Choice
from ..presenter.states import Ended, JobEvent
from ..presenter.surface import Surface
from ..process import commands
from ..refused import Refused
from ..scene import dicom_source

if TYPE_CHECKING:
    from ..contract.events import End
    from ..process.backend import Backend
    from ..process.environment import Runner
    from ..scene.app_services import SlicerApp

log = logging.getLogger(__name__)
OUT = "out"
LOG_LENGTH = 200_000  # characters of a runner's log that are kept to be shown


class Setup(Protocol):
    """Where a run happens, and with what."""

    key: str  # of a server

    @property
    def environment(self) -> dict[str, str]:
        """What a child process may inherit."""

    @property
    def runner(self) -> "Runner | None":
        """The Python that would run an edit on this computer."""


class JobRunner:
    """Starts and stops runs.

    Args:
        app: the calls into the application.
        backend: runs the process.
        setup: where to run.
        surface: who shows the run; hears of everything.
    """

    def __init__(
        self,
        app: "SlicerApp",
        backend: "Backend",
        *,
        setup: Setup,
        surface: Surface[Any],
    ) -> None:
        self._app, self._backend, self._setup = app, backend, setup
        self._surface, self._tell = surface, surface.feed
        self._folder: Path | None = None
        self._log = ""
        self.local_command = commands.local_command  # the self test rehearses with another

    @property
    def out(self) -> Path | None:
        """What the current run writes into."""
        return None if self._folder is None else self._folder / OUT

    @property
    def busy(self) -> bool:
        """Whether a process is still there."""
        return self._backend.running

    def start(self, job: int) -> None:
        """Start a run; why it cannot be started is told like any other failure."""
        self.clean()
        self._log = ""
        try:
            self._folder = Path(self._app.temp_folder())
            command = self._command(self._surface.presenter.choice or Choice(), self._folder)
        except Refused as refused:
            self._give_up(Failed("refused", refused.message, refused.hint), job)
            return
        except Exception as error:  # a full disk, a lost folder: or it would seem to run for ever
            log.error("A run could not be prepared: %s.", type(error).__name__)
            self._give_up(failure("not_prepared"), job)
            return
        self._backend.start(
            command,
            lambda event: self._tell(JobEvent(event, job)),
            lambda end: self._ended(end, job),
            self._note,
        )

    def _give_up(self, failed: Failed, job: int) -> None:
        """There is no process, so its end is told here."""
        self._tell(JobEvent(failed, job))
        self._tell(Ended(job=job))

    def _command(self, choice: Choice, folder: Path) -> commands.Command:
        surface = self._surface
        found = dicom_source.find_source(self._app, surface.source, folder)
        roi, reading = surface.write_region(folder), surface.reading()
        request = jobs.make_request(choice, source=found.path, reading=reading, roi=roi)
        path, environment = jobs.write_job(request, folder), self._setup.environment
        if found.warning:
            self._tell(JobEvent(Warned("no_dicom", found.warning)))
        if choice.backend == REMOTE:
            python = self._app.slicer_python()
            return commands.remote_command(
                python, choice.server, path, folder / OUT,
                key=self._setup.key, environment=environment,
            )  # fmt: skip
        out = folder / OUT
        return self.local_command(self._python(), path, out, environment=environment)

    def region_command(self, choice: Choice, folder: Path) -> commands.Command:
        """Which region would an edit act in?

        Raises:
            Refused: the radiograph cannot be edited, or no runner is there.
        """
        found = dicom_source.find_source(self._app, self._surface.source, folder)
        request = jobs.make_request(choice, source=found.path, reading=self._surface.reading())
        path = jobs.write_job(request, folder)
        out, environment = folder / OUT, self._setup.environment
        if choice.backend == REMOTE:
            return commands.remote_region_command(
                self._app.slicer_python(), choice.server, path, out,
                key=self._setup.key, environment=environment,
            )  # fmt: skip
        return commands.region_command(self._python(), path, out, environment=environment)

    def _python(self) -> str:
        runner = self._setup.runner
        if runner is None:
            raise Refused("No runner is set up on this computer.", "Create its environment first.")
        return runner.python

    def cancel(self) -> None:
        """Stop the process; its end is told."""
        self._backend.cancel()

    def clean(self) -> None:
        """Remove the folder of the last run; what is in the database or the scene stays."""
        if self._folder is not None and not self.busy:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def close(self) -> None:
        """The end of the module."""
        self._backend.close()
        self.clean()

    def _note(self, text: str) -> None:
        self._log = (self._log + text)[-LOG_LENGTH:]

    def _ended(self, end: "End", job: int) -> None:
        failed = ended(end.exit_code, end.stderr_tail, end.saw_result, end.cancelled, end.crashed)
        self._tell(Ended(failed, self._log, job))
