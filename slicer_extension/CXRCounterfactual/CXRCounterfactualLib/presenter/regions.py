# SPDX-License-Identifier: Apache-2.0
"""When the region is shown before a run: a table beside ``transitions`` (docs/slicer.md 4).

By itself, half a second after the last change; never while a run goes on; taken away at once when
it no longer belongs to the request. A region that cannot be shown is a hint, never an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from ..contract.events import End
from ..contract.params import Choice
from .states import (
    AskRegion,
    AwaitQuiet,
    CheckPressed,
    DropRegion,
    Effect,
    Happening,
    Imported,
    Memory,
    OutlineRegion,
    QuietPassed,
    RegionDrawn,
    RegionFound,
    RegionMissing,
    RegionPressed,
    State,
)

LOOKING = "Looking for lungs, heart and the region …"


class Look(Enum):
    """How the region of the request is."""

    NONE = "None"  # neither on the image nor on its way
    WAITING = "Waiting"  # for the user to stop changing things
    LOOKING = "Looking"  # the runner is asked
    SHOWN = "Shown"
    MISSING = "Missing"  # the runner was asked; why there is none is said


class Turn(Enum):
    """What happens to it."""

    NEW = "another request, and it is shown by itself"
    OFF = "another request, and it is shown on demand"
    UNWANTED = "no valid request, or a region of the user's own"
    HOLD = "a run goes on"
    IMPORTED = "a run is done: its own masks are shown"
    AGAIN = "the runner is checked"
    PRESSED = "the user wants it now"
    QUIET = "nothing was changed for a while"
    FOUND = "the runner has found it"
    DRAWN = "its outline is on the image"
    LOST = "there is none"


@dataclass(frozen=True)
class About:
    """What a region depends on; two requests with an equal one have the same region."""

    source_id: str
    choice: Choice  # all else at its default
    reading: tuple[str, ...]


@dataclass(frozen=True)
class Region:
    """What is known of it."""

    look: Look = Look.NONE
    about: About | None = None  # what it belongs to
    number: int = 0  # of the last look; what is told of an earlier one is not heard
    pixels: int = 0
    why: str = ""

    @property
    def words(self) -> str:
        """A sentence for the panel, or nothing."""
        if self.look in (Look.WAITING, Look.LOOKING):
            return LOOKING
        if self.look is Look.SHOWN:
            return f"Outlined: {self.pixels} pixels may change, and a soft band."
        return self.why if self.look is Look.MISSING else ""


Made = Callable[[int, Any], Effect]
Cell = tuple[Look, tuple[Made, ...]]


def drop(number: int, event: Happening) -> Effect:
    """Not on the image, and nobody is asked any more."""
    return DropRegion()


def wait(number: int, event: Happening) -> Effect:
    """Not before the user rests."""
    return AwaitQuiet(number)


def ask(number: int, event: Happening) -> Effect:
    """Ask the runner."""
    return AskRegion(number)


def outline(number: int, event: RegionFound) -> Effect:
    """Show what it answered."""
    return OutlineRegion(number, event.seg)


ON_ITS_WAY = (Look.WAITING, Look.LOOKING)
ANY = (*ON_ITS_WAY, Look.SHOWN, Look.MISSING)
# Where a look is not named, nothing follows.
TABLE: Mapping[Turn, Mapping[Look, Cell]] = {
    Turn.NEW: {
        Look.NONE: (Look.WAITING, (wait,)),
        **dict.fromkeys(ANY, (Look.WAITING, (drop, wait))),
    },
    Turn.OFF: dict.fromkeys(ANY, (Look.NONE, (drop,))),
    Turn.UNWANTED: dict.fromkeys(ANY, (Look.NONE, (drop,))),
    Turn.HOLD: dict.fromkeys(ON_ITS_WAY, (Look.NONE, (drop,))),
    Turn.IMPORTED: dict.fromkeys(ANY, (Look.NONE, (drop,))),
    Turn.AGAIN: dict.fromkeys(ON_ITS_WAY, (Look.WAITING, (drop, wait))),
    Turn.PRESSED: {
        Look.NONE: (Look.LOOKING, (ask,)),
        **dict.fromkeys((Look.WAITING, Look.SHOWN, Look.MISSING), (Look.LOOKING, (drop, ask))),
    },
    Turn.QUIET: {Look.WAITING: (Look.LOOKING, (ask,))},
    Turn.FOUND: {Look.LOOKING: (Look.LOOKING, (outline,))},
    Turn.DRAWN: {Look.LOOKING: (Look.SHOWN, ())},
    Turn.LOST: {Look.LOOKING: (Look.MISSING, ())},
}
TOLD: Mapping[type, Turn] = {
    QuietPassed: Turn.QUIET, RegionFound: Turn.FOUND, RegionDrawn: Turn.DRAWN,
    RegionMissing: Turn.LOST,
}  # fmt: skip
BEGINS = (Turn.NEW, Turn.AGAIN, Turn.PRESSED)  # a new look, with a number of its own
KNOWN = (*BEGINS, Turn.IMPORTED)  # from here on it belongs to the request as it is now
BUSY = (State.RUNNING, State.CANCELLING, State.IMPORTING)
ASKABLE = (State.READY, State.DONE, State.FAILED)


def about_of(memory: Memory) -> About | None:
    """What the region of the request depends on; None where none is to be shown."""
    request, choice = memory.request, memory.request.choice
    healthy = memory.check is not None and memory.check.ok
    valid = healthy and memory.source.valid and not request.problems and not request.own_region
    if choice is None or not valid:
        return None
    asked = Choice(
        prompt=choice.prompt.strip(), overrides=choice.overrides,
        backend=choice.backend, server=choice.server,
    )  # fmt: skip
    if not asked.prompt:
        asked = replace(asked, finding=choice.finding, side=choice.side, zone=choice.zone)
    return About(memory.source.source_id, asked, request.reading)


def turn_of(region: Region, memory: Memory, event: Happening) -> Turn | None:
    """What an event means for the region, once the state machine has taken it in."""
    about = about_of(memory)
    if type(event) in TOLD:
        current = getattr(event, "number", None) == region.number
        return TOLD[type(event)] if current else None
    if isinstance(event, RegionPressed):
        return Turn.PRESSED if about is not None and memory.state in ASKABLE else None
    if memory.state in BUSY:
        return Turn.HOLD
    if about is None or memory.state not in ASKABLE:
        return Turn.UNWANTED
    if isinstance(event, Imported) and memory.state is State.DONE:
        return Turn.IMPORTED
    if memory.state is State.FAILED:
        return None
    if isinstance(event, CheckPressed):
        return Turn.AGAIN
    return _compared(region, about, by_itself=memory.request.by_itself)


def _compared(region: Region, about: About, *, by_itself: bool) -> Turn | None:
    if about == region.about and (by_itself or region.look is not Look.WAITING):
        return None
    return Turn.NEW if by_itself else Turn.OFF


def follow(region: Region, memory: Memory, event: Happening) -> tuple[Region, tuple[Effect, ...]]:
    """What follows for the region, and what is to be done."""
    turn = turn_of(region, memory, event)
    if turn is None:
        return region, ()
    look, made = TABLE[turn].get(region.look, (region.look, ()))
    begins = turn in BEGINS and bool(made)
    number = region.number + 1 if begins else region.number
    about = about_of(memory) if turn in KNOWN else region.about if look is not Look.NONE else None
    after = replace(region, look=look, number=number, about=about)
    if isinstance(event, RegionDrawn):
        after = replace(after, pixels=event.pixels)
    if isinstance(event, RegionMissing):
        after = replace(after, why=event.why)
    return after, tuple(each(number, event) for each in made)


def answered(answer: End, number: int, folder: Path) -> RegionFound | RegionMissing:
    """What the runner answered to "which region?".

    Args:
        answer: how the question ended.
        number: of ``AskRegion``.
        folder: where the runner was to write.
    """
    document = answer.document or {}
    files = document.get("files")
    found = [f for f in files if f.get("role") == "seg"] if isinstance(files, list) else []
    if answer.exit_code == 0 and found:
        return RegionFound(number, folder / Path(str(found[0].get("path"))).name)
    return RegionMissing(number, _why(answer, document))


def _why(answer: End, document: Mapping[str, Any]) -> str:
    """Why there is no region, in the runner's own words if it said any."""
    if answer.exit_code is None:
        return "The runner could not be started. Check it in the section on where it runs."
    told = document.get("error")
    if isinstance(told, Mapping):
        return f"{told.get('message', '')} {told.get('hint', '')}".strip()
    return f"The region was not found (exit code {answer.exit_code}). Check the runner."
