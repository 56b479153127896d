# SPDX-License-Identifier: Apache-2.0
"""What the panel shows in each state: a frozen ``View`` that the widget copies into its widgets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..contract.params import LOCAL
from .states import Memory, State
from .words import BADGE, Timing, estimate, outside_words, progress_words, verdict_words

INPUTS = frozenset({"selector", "inputs", "region", "settings", "check"})
# Roles of the widgets that can be used; "run" also needs that nothing is missing.
ENABLED: Mapping[State, frozenset[str]] = {
    State.NO_RUNNER: frozenset({"settings", "check"}),
    State.IDLE: INPUTS - {"region"},
    State.READY: INPUTS | {"run"},
    State.RUNNING: frozenset({"cancel"}),
    State.CANCELLING: frozenset(),
    State.IMPORTING: frozenset(),
    State.DONE: INPUTS | {"run", "compare", "dismiss"},
    State.FAILED: INPUTS | {"details", "copy", "dismiss"},
}
ROLES = frozenset().union(*ENABLED.values())
TITLES: Mapping[State, str] = {
    State.NO_RUNNER: "Set up",
    State.IDLE: "Pick a radiograph",
    State.READY: "Ready",
    State.RUNNING: "Running",
    State.CANCELLING: "Stopping",
    State.IMPORTING: "Adding to the study",
    State.DONE: "Done",
    State.FAILED: "It did not work",
}
BUSY = (State.CANCELLING, State.IMPORTING)
TELL_ANY = "Any frontal chest radiograph that is loaded from DICOM."


@dataclass(frozen=True)
class View:
    """Everything that is shown."""

    title: str
    message: str
    hint: str = ""
    command: str = ""  # to copy into a terminal
    package: bool = False  # whether the user may name what an environment is made from
    details: str = ""  # for this screen only: it may name paths
    progress: int | None = None  # 0..100; None: no bar
    busy: bool = False  # a bar without a number
    progress_text: str = ""
    enabled: frozenset[str] = frozenset()
    run_label: str = "Run"
    badge: str = BADGE
    warnings: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()  # plain sentences, the first about the outside
    outside: str = ""
    estimate: str = ""  # where and how long
    region: str = ""  # what is shown of the region before a run, or why nothing is


def view_of(memory: Memory, timings: Sequence[Timing] = (), region: str = "") -> View:
    """The view of what is known.

    Args:
        memory: of the presenter.
        timings: earlier runs.
        region: the words of ``regions``.
    """
    message, hint = _message(memory)
    enabled = ENABLED[memory.state]
    running = memory.state is State.RUNNING
    result = memory.result
    return View(
        title=TITLES[memory.state],
        message=message,
        hint=hint,
        command=_command(memory),
        package=_here(memory),
        details=memory.details if memory.state in (State.FAILED, State.DONE) else "",
        progress=memory.percent if running and memory.percent else None,
        busy=memory.state in (State.CANCELLING, State.IMPORTING)
        or (running and not memory.percent),
        progress_text=progress_words(memory.progress) if running else "",
        enabled=enabled if memory.may_run else enabled - {"run"},
        run_label="Run again" if memory.state is State.DONE else "Run",
        warnings=memory.warnings,
        verdict=() if result is None else verdict_words(result),
        outside="" if result is None else outside_words(result),
        estimate=_estimate(memory, timings),
        region=region,
    )


def _message(memory: Memory) -> tuple[str, str]:
    """One sentence, and the next step."""
    state = memory.state
    if state is State.NO_RUNNER:
        return _missing(memory)
    if state is State.IDLE:
        return _wanted(memory)
    if state is State.READY:
        return ("The last run is ending.", "") if memory.live else ("Press Run.", "")
    if state is State.RUNNING:
        return progress_words(memory.progress), "The views can be used meanwhile."
    if state is State.CANCELLING:
        return "Stopping; nothing is left behind.", ""
    if state is State.IMPORTING:
        return "Adding the result to the study.", ""
    if state is State.DONE:
        return memory.summary or "The counterfactual is in the scene.", ""
    return (memory.failure.message, memory.failure.hint) if memory.failure else ("", "")


def _missing(memory: Memory) -> tuple[str, str]:
    if memory.check is None:
        return "Checking the runner.", ""
    words = " ".join(memory.check.problems) or "The runner is not ready."
    return words, "Mend it, then press 'Check again'."


def _wanted(memory: Memory) -> tuple[str, str]:
    if memory.source.valid:
        return memory.request.problems[0], ""
    return (memory.source.why, TELL_ANY) if memory.source.why else ("Pick a radiograph.", TELL_ANY)


def _command(memory: Memory) -> str:
    return memory.check.command if _here(memory) and memory.check is not None else ""


def _here(memory: Memory) -> bool:
    """Whether it is an environment on this computer that is known to be missing."""
    choice = memory.request.choice
    local = choice is None or choice.backend == LOCAL
    return memory.state is State.NO_RUNNER and memory.check is not None and local


def _estimate(memory: Memory, timings: Sequence[Timing]) -> str:
    choice = memory.request.choice
    if choice is None or memory.state not in (State.READY, State.DONE):
        return ""
    words = estimate(timings, choice)
    device = memory.check.device if memory.check is not None else ""
    device = device or (memory.hello.device if memory.hello is not None else "")
    return f"{words} on {device}" if device else words
