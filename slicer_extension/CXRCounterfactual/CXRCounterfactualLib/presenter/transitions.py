# SPDX-License-Identifier: Apache-2.0
"""The state machine as a table: for every state and every happening one rule (docs/slicer.md 4).

A rule takes what is known and what happened, and gives what is known then and what is to be done.
It touches nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..contract.events import Failed, Hello, Preview, Progressed, Result, Warned
from ..contract.failures import failure
from .states import (
    CancelJob,
    CancelPressed,
    Checked,
    CheckPressed,
    CheckRunner,
    CleanFolder,
    ClearPreview,
    Dismissed,
    Effect,
    Ended,
    Imported,
    ImportFailed,
    ImportResult,
    JobEvent,
    Memory,
    NodeRemoved,
    RequestChanged,
    RunPressed,
    SceneClosed,
    ServerLost,
    ShowCompare,
    ShowPreview,
    SourceChanged,
    StartJob,
    State,
)
from .words import percent_of

Step = tuple[Memory, tuple[Effect, ...]]
Rule = Callable[[Memory, Any], Step]
# After these the doctor should look again.
RECHECK = frozenset({"not_started", "not_installed", "component_missing", "remote_failure",
                     "server_lost", "protocol"})  # fmt: skip
NO_SERVER = Checked(False, ("The server does not answer. Check its address and the network.",))


def settled(memory: Memory) -> Memory:
    """Where the panel rests: what is missing first, then the radiograph, then ready."""
    if memory.check is None or not memory.check.ok:
        state = State.NO_RUNNER
    elif not memory.source.valid or memory.request.problems:
        state = State.IDLE
    else:
        state = State.READY
    return replace(memory, state=state, failure=None)


def ignore(memory: Memory, event: Any) -> Step:
    """Nothing follows."""
    return memory, ()


def ask(memory: Memory, event: CheckPressed) -> Step:
    """The doctor should look."""
    return memory, (CheckRunner(),)


def note(memory: Memory, event: Any) -> Step:
    """Remember how runner, radiograph or request are now; the state stays."""
    names = {Checked: "check", SourceChanged: "source", RequestChanged: "request"}
    if isinstance(event, RequestChanged) and event.choice is None:
        event = replace(event, choice=memory.request.choice)
    return replace(memory, **{names[type(event)]: event}), ()


def rest(memory: Memory, event: Any) -> Step:
    """Remember it, and go where that leads."""
    return settled(note(memory, event)[0]), _elsewhere(memory, event)


def rest_if_new(memory: Memory, event: SourceChanged | RequestChanged) -> Step:
    """The same for what differs; a second look at the same leaves a result or message in place."""
    if isinstance(event, SourceChanged):
        known = event.source_id == memory.source.source_id != ""
        same = known and event.valid and memory.source.valid
    else:
        known = event.choice is not None and event.choice == memory.request.choice
        same = known and not event.problems
    noted, _ = note(memory, event)
    return (noted, ()) if same else (settled(noted), _elsewhere(memory, event))


def check_done(memory: Memory, event: Checked) -> Step:
    """A good answer leaves the comparison in place."""
    noted, _ = note(memory, event)
    return (noted, ()) if event.ok else (settled(noted), ())


def request_done(memory: Memory, event: RequestChanged) -> Step:
    """The comparison stays while a request is tuned; one that cannot be run leads away."""
    noted, _ = note(memory, event)
    return settled(noted) if event.problems else noted, _elsewhere(memory, event)


def lose_server(memory: Memory, event: ServerLost) -> Step:
    """Nothing runs, so it is the server that is missing."""
    return settled(replace(memory, check=NO_SERVER)), ()


def start(memory: Memory, event: RunPressed) -> Step:
    """Run, if nothing is missing and the last process is gone."""
    if not memory.may_run:
        return memory, ()
    job = memory.job + 1
    fresh = Memory(State.RUNNING, memory.check, memory.source, memory.request, job, live=True)
    return fresh, (ClearPreview(), CleanFolder(), StartJob(job))


def stop(memory: Memory, event: Any) -> Step:
    """Stop the run; what it tells from now on is not heard."""
    return replace(memory, state=State.CANCELLING), (CancelJob(), ClearPreview())


def forget_and_stop(memory: Memory, event: Any) -> Step:
    """The radiograph is gone while its run goes on."""
    return stop(_without_source(memory), event)


def forget(memory: Memory, event: Any) -> Step:
    """The radiograph is gone, and what was shown of it."""
    fresh = replace(_without_source(memory), result=None, summary="", warnings=(), details="")
    return settled(fresh), (ClearPreview(), CleanFolder())


def forget_while_stopping(memory: Memory, event: Any) -> Step:
    """The process must still end; then there is no radiograph."""
    return _without_source(memory), ()


def hear(memory: Memory, event: JobEvent) -> Step:
    """What the runner of this job tells."""
    if event.job not in (None, memory.job):
        return memory, ()
    told = event.event
    if isinstance(told, Hello):
        return replace(memory, hello=told), ()
    if isinstance(told, Progressed):
        percent = max(memory.percent, percent_of(told))
        return replace(memory, progress=told, percent=percent), ()
    if isinstance(told, Warned):
        return replace(memory, warnings=(*memory.warnings, told.message)), ()
    if isinstance(told, Preview):
        return memory, (ShowPreview(told.path),)
    if isinstance(told, Result):
        return replace(memory, state=State.IMPORTING, result=told), (ImportResult(told),)
    return fail(memory, told)


def fail(memory: Memory, failed: Failed) -> Step:
    """Say why; a process that is still there is stopped, so that it cannot disturb the next."""
    last: Effect = CancelJob() if memory.live else CleanFolder()
    return replace(memory, state=State.FAILED, failure=failed), (ClearPreview(), last)


def lose_server_running(memory: Memory, event: ServerLost) -> Step:
    """The run goes with it."""
    return fail(memory, failure("server_lost"))


def end_too_early(memory: Memory, event: Ended) -> Step:
    """The process is gone and told neither result nor error."""
    gone, theirs = _gone(memory, event)
    return fail(gone, event.failed or failure("no_result")) if theirs else (memory, ())


def end_stopped(memory: Memory, event: Ended) -> Step:
    """What should stop has stopped."""
    gone, theirs = _gone(memory, event)
    return (settled(gone), (CleanFolder(),)) if theirs else (memory, ())


def end_unused(memory: Memory, event: Ended) -> Step:
    """The process of a run without a result is gone: now its folder can go."""
    was_live = memory.live
    gone, theirs = _gone(memory, event)
    return gone, (CleanFolder(),) if theirs and was_live else ()


def end(memory: Memory, event: Ended) -> Step:
    """The process is gone; its folder holds the result."""
    return _gone(memory, event)[0], ()


def show(memory: Memory, event: Imported) -> Step:
    """The result is in the scene."""
    return replace(memory, state=State.DONE, summary=event.summary), (ShowCompare(),)


def fail_import(memory: Memory, event: ImportFailed) -> Step:
    """The result is lost to the scene; the reason and the next step are not."""
    usual = failure("import_failed")
    failed = Failed(usual.code, event.message or usual.message, event.hint or usual.hint)
    return fail(replace(memory, result=None), failed)


def dismiss(memory: Memory, event: Dismissed) -> Step:
    """The message was read; where something may be missing, the doctor looks again."""
    again = memory.failure is not None and memory.failure.code in RECHECK
    return settled(replace(memory, details="")), (CheckRunner(),) if again else ()


def _elsewhere(memory: Memory, event: Any) -> tuple[Effect, ...]:
    """A request that goes to the other back end wants that one looked at."""
    before = memory.request.choice
    now = event.choice if isinstance(event, RequestChanged) else None
    if before is None or now is None or before.backend == now.backend:
        return ()
    return (CheckRunner(),)


def _without_source(memory: Memory) -> Memory:
    return replace(memory, source=SourceChanged(False))


def _gone(memory: Memory, event: Ended) -> tuple[Memory, bool]:
    """The process is gone, if the event is about this job."""
    if event.job not in (None, memory.job):
        return memory, False
    return replace(memory, live=False, details=event.details or memory.details), True


# What holds in most states; then what each state does differently.
USUAL: Mapping[type, Rule] = {
    CheckPressed: ask, Checked: rest, SourceChanged: rest, RequestChanged: rest,
    RunPressed: ignore, CancelPressed: ignore, JobEvent: ignore, Ended: end_unused,
    Imported: ignore, ImportFailed: ignore, SceneClosed: forget, NodeRemoved: forget,
    ServerLost: lose_server, Dismissed: ignore,
}  # fmt: skip
BUSY: Mapping[type, Rule] = {
    **USUAL, CheckPressed: ignore, Checked: note, SourceChanged: note, RequestChanged: note,
    ServerLost: ignore,
}  # fmt: skip
TABLE: Mapping[State, Mapping[type, Rule]] = {
    State.NO_RUNNER: USUAL,
    State.IDLE: USUAL,
    State.READY: {**USUAL, RunPressed: start},
    State.RUNNING: {
        **BUSY, CancelPressed: stop, JobEvent: hear, Ended: end_too_early,
        SceneClosed: forget_and_stop, NodeRemoved: forget_and_stop,
        ServerLost: lose_server_running,
    },
    State.CANCELLING: {
        **BUSY, Ended: end_stopped, SceneClosed: forget_while_stopping,
        NodeRemoved: forget_while_stopping,
    },
    State.IMPORTING: {**BUSY, Ended: end, Imported: show, ImportFailed: fail_import},
    State.DONE: {
        **USUAL, Checked: check_done, SourceChanged: rest_if_new, RequestChanged: request_done,
        RunPressed: start, Ended: end, Dismissed: dismiss,
    },
    State.FAILED: {
        **USUAL, Checked: note, SourceChanged: rest_if_new, RequestChanged: rest_if_new,
        ServerLost: ignore, Dismissed: dismiss,
    },
}  # fmt: skip
