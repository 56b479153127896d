# SPDX-License-Identifier: Apache-2.0
"""The words of the state machine (docs/slicer.md 4): states, what can happen, what is to be done.

``transitions`` says what follows from what; ``view`` what is shown. No qt, no slicer.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..contract.events import Event, Failed, Hello, Progressed, Result
from ..contract.params import Choice


class State(Enum):
    """Where the panel is."""

    NO_RUNNER = "NoRunner"
    IDLE = "Idle"
    READY = "Ready"
    RUNNING = "Running"
    CANCELLING = "Cancelling"
    IMPORTING = "Importing"
    DONE = "Done"
    FAILED = "Failed"


# What can happen


@dataclass(frozen=True)
class CheckPressed:
    """The panel was opened, or the user wants the runner checked again."""


@dataclass(frozen=True)
class Checked:
    """The doctor has looked."""

    ok: bool
    problems: tuple[str, ...] = ()  # a sentence for each thing that is missing
    command: str = ""  # one copyable command that cures it
    device: str = ""  # where a run would compute


@dataclass(frozen=True)
class SourceChanged:
    """Another radiograph was picked, or the picked one looked at again."""

    valid: bool
    why: str = ""  # why it is none that can be edited
    source_id: str = ""  # node id: the same valid one changes nothing


@dataclass(frozen=True)
class RequestChanged:
    """The request was changed, or looked at again."""

    problems: tuple[str, ...] = ()
    choice: Choice | None = None  # an equal one changes nothing
    own_region: bool = False  # a drawn segment replaces the region of the finding
    by_itself: bool = True  # the region is shown without being asked for
    reading: tuple[str, ...] = ()  # what the strict reader may let pass


@dataclass(frozen=True)
class RunPressed:
    """The user wants it done."""


@dataclass(frozen=True)
class CancelPressed:
    """The user wants it stopped."""


@dataclass(frozen=True)
class JobEvent:
    """The runner told something."""

    event: Event
    job: int | None = None  # number of ``StartJob``; None: the current one


@dataclass(frozen=True)
class Ended:
    """The process of a job is gone."""

    failed: Failed | None = None  # ``failures.ended``
    details: str = ""  # the last lines of its log, for this screen only
    job: int | None = None


@dataclass(frozen=True)
class Imported:
    """The result is in the scene."""

    summary: str = ""


@dataclass(frozen=True)
class ImportFailed:
    """The result could not be brought into the scene."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class SceneClosed:
    """All nodes are gone."""


@dataclass(frozen=True)
class NodeRemoved:
    """The radiograph is gone."""


@dataclass(frozen=True)
class ServerLost:
    """The server does not answer."""


@dataclass(frozen=True)
class Dismissed:
    """The user has read it."""


@dataclass(frozen=True)
class RegionPressed:
    """The user wants to see the region now."""


@dataclass(frozen=True)
class QuietPassed:
    """Nothing was changed for a while since ``AwaitQuiet``."""

    number: int


@dataclass(frozen=True)
class RegionFound:
    """The runner has found the region."""

    number: int
    seg: Path


@dataclass(frozen=True)
class RegionDrawn:
    """Its outline is on the image."""

    number: int
    pixels: int


@dataclass(frozen=True)
class RegionMissing:
    """There is no region to show."""

    number: int
    why: str


RegionEvent = RegionPressed | QuietPassed | RegionFound | RegionDrawn | RegionMissing
Happening = (
    CheckPressed | Checked | SourceChanged | RequestChanged | RunPressed | CancelPressed | JobEvent
    | Ended | Imported | ImportFailed | SceneClosed | NodeRemoved | ServerLost | Dismissed
    | RegionEvent
)  # fmt: skip


# What is to be done


@dataclass(frozen=True)
class CheckRunner:
    """Start the doctor; tell ``Checked``."""


@dataclass(frozen=True)
class StartJob:
    """Start the run; tell ``JobEvent`` and ``Ended`` with its number."""

    job: int


@dataclass(frozen=True)
class CancelJob:
    """Stop the process, if it is still there; tell ``Ended`` as always."""


@dataclass(frozen=True)
class ImportResult:
    """Bring it into the scene; tell ``Imported`` or ``ImportFailed``, whatever is raised."""

    result: Result


@dataclass(frozen=True)
class ShowCompare:
    """Show source and counterfactual."""


@dataclass(frozen=True)
class ShowPreview:
    """Show a picture of the run."""

    path: Path


@dataclass(frozen=True)
class ClearPreview:
    """Show none."""


@dataclass(frozen=True)
class CleanFolder:
    """Remove the job's folder."""


@dataclass(frozen=True)
class AwaitQuiet:
    """Tell ``QuietPassed`` a moment after the last of these."""

    number: int


@dataclass(frozen=True)
class AskRegion:
    """Ask the runner for the region; tell ``RegionFound`` or ``RegionMissing``."""

    number: int


@dataclass(frozen=True)
class OutlineRegion:
    """Draw it on the image; tell ``RegionDrawn`` or ``RegionMissing``."""

    number: int
    seg: Path


@dataclass(frozen=True)
class DropRegion:
    """Take its outline off the image; neither wait nor ask any more."""


RegionEffect = AwaitQuiet | AskRegion | OutlineRegion | DropRegion
Effect = (
    CheckRunner | StartJob | CancelJob | ImportResult | ShowCompare | ShowPreview | ClearPreview
    | CleanFolder | RegionEffect
)  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """All that the presenter knows."""

    state: State = State.NO_RUNNER
    check: Checked | None = None  # None: nobody has looked yet
    source: SourceChanged = SourceChanged(False)
    request: RequestChanged = RequestChanged()
    job: int = 0  # number of the current or last job
    live: bool = False  # its process is not known to be gone
    hello: Hello | None = None
    progress: Progressed | None = None
    percent: int = 0  # never falls
    warnings: tuple[str, ...] = ()
    result: Result | None = None
    summary: str = ""
    failure: Failed | None = None
    details: str = ""

    @property
    def may_run(self) -> bool:
        """Whether nothing is missing for a run."""
        checked = self.check is not None and self.check.ok
        return checked and self.source.valid and not self.request.problems and not self.live
