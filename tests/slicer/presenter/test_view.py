# SPDX-License-Identifier: Apache-2.0
"""What the panel shows in each state, whose events count, and what "Copy report" says."""

import json

import pytest
from CXRCounterfactualLib.contract.events import Progressed, Warned
from CXRCounterfactualLib.contract.failures import failure
from CXRCounterfactualLib.contract.params import Choice
from CXRCounterfactualLib.presenter.presenter import Presenter
from CXRCounterfactualLib.presenter.states import (
    CancelPressed,
    CheckRunner,
    CleanFolder,
    Dismissed,
    Ended,
    Imported,
    ImportFailed,
    ImportResult,
    JobEvent,
    RequestChanged,
    RunPressed,
    ShowPreview,
    SourceChanged,
    StartJob,
    State,
)

from tests.slicer.helpers.presenting import (
    ASKED,
    ASKED_MORE,
    HEALTHY,
    OTHER,
    PATHS,
    PREVIEW,
    REFUSED,
    RESULT,
    SICK,
    SOURCE,
    STEP,
    TO_READY,
    TO_RUNNING,
    WRONG,
    at,
    done,
    led,
)


@pytest.mark.parametrize("state", State)
def test_every_state_has_words_and_the_badge(state: State) -> None:
    view = at(state).view()
    assert view.title
    assert view.message
    assert view.badge == "SYNTHETIC - research only, never for diagnosis"


def test_what_is_missing_is_said_with_one_command() -> None:
    view = led(SICK).view()
    assert view.message == SICK.problems[0]
    assert view.command == SICK.command
    assert view.enabled == {"settings", "check"}
    assert led(SICK, HEALTHY).view().command == ""


def test_idle_says_why_a_radiograph_or_a_request_cannot_be_used() -> None:
    assert led(HEALTHY).view().message == "Pick a radiograph."
    bad = SourceChanged(False, "It has several slices.")
    assert led(HEALTHY, bad).view().message == "It has several slices."
    view = led(HEALTHY, SOURCE, WRONG).view()
    assert view.message == WRONG.problems[0]
    assert "inputs" in view.enabled  # or nobody could mend it


def test_running_tells_stage_step_and_time_left() -> None:
    view = at(State.RUNNING).view()
    assert view.progress_text == (
        "Stage 4 of 7: Drawing the change, step 3 of 14, about 2 s left in this stage"
    )
    assert view.progress == 46
    assert view.enabled == {"cancel"}


def test_the_bar_never_runs_backwards() -> None:
    presenter, seen = led(*TO_RUNNING), []
    for stage, step, total in (("sample", 14, 14), ("read", 1, 1), ("odd", 5, 5), ("write", 1, 1)):
        presenter.handle(JobEvent(Progressed(stage, step, total)))
        seen.append(presenter.view().progress)
    assert seen == [57, 57, 57, 100]


def test_a_bar_without_a_number_says_that_something_goes_on() -> None:
    presenter = led(*TO_READY, RunPressed())
    assert (presenter.view().busy, presenter.view().progress) == (True, None)
    presenter.handle(JobEvent(Progressed("queue", 0, 3)))
    assert presenter.view().message == "Waiting in the server's queue, place 3"
    for state in (State.CANCELLING, State.IMPORTING):
        assert at(state).view().busy
    assert not at(State.READY).view().busy


def test_preview_and_result_are_handed_on() -> None:
    presenter = led(*TO_RUNNING)
    assert presenter.handle(JobEvent(PREVIEW)) == (ShowPreview(PREVIEW.path),)
    assert presenter.handle(JobEvent(RESULT)) == (ImportResult(RESULT),)


def test_warnings_are_kept_for_the_run_and_no_longer() -> None:
    presenter = led(*TO_RUNNING, JobEvent(Warned("a", "No spacing.")), JobEvent(RESULT))
    for event in (Ended(), Imported()):
        presenter.handle(event)
    assert presenter.view().warnings == ("No spacing.",)
    presenter.handle(RunPressed())
    assert presenter.view().warnings == ()


def test_done_tells_the_verdict_and_offers_to_run_again() -> None:
    view = at(State.DONE).view()
    assert view.message == "One image was added."
    assert view.outside == (
        "Nothing outside the region and its band changed (largest difference 0)."
    )
    assert view.verdict[0] == view.outside
    assert view.run_label == "Run again"
    assert {"run", "compare", "inputs"} <= view.enabled


def test_a_request_that_is_tuned_keeps_the_comparison() -> None:
    presenter = led(*PATHS[State.DONE], ASKED_MORE)
    assert presenter.state is State.DONE
    assert presenter.view().verdict
    assert presenter.choice == ASKED_MORE.choice


def test_failed_keeps_its_message_while_nothing_is_changed() -> None:
    presenter = led(*PATHS[State.FAILED], ASKED, SOURCE, HEALTHY, Ended(details="log"))
    view = presenter.view()
    assert (view.message, view.hint) == (REFUSED.message, REFUSED.hint)
    assert {"details", "copy", "dismiss", "inputs"} <= view.enabled
    assert "run" not in view.enabled


def test_the_log_is_for_this_screen_only() -> None:
    failed = failure("crashed", 11)
    presenter = led(*TO_RUNNING, Ended(failed, "at /home/doe/chest.dcm"))
    assert presenter.view().details == "at /home/doe/chest.dcm"
    assert "doe" not in presenter.report()
    assert presenter.view().message == failed.message


def test_the_report_says_what_ran_and_where_it_stopped() -> None:
    text = at(State.FAILED).report()
    for part in ("unsupported_image", "stage: sample", "version: 0.1.0", "where: local"):
        assert part in text
    assert at(State.READY).report() == ""


def test_the_first_reason_counts() -> None:
    presenter = led(*TO_RUNNING, JobEvent(REFUSED), JobEvent(failure("bug")))
    presenter.handle(Ended(failure("refused", 2), "log"))
    assert presenter.view().message == REFUSED.message
    assert presenter.view().details == "log"


def test_a_result_after_cancel_is_not_heard() -> None:
    presenter = led(*TO_RUNNING, CancelPressed(), JobEvent(RESULT), JobEvent(REFUSED))
    assert presenter.state is State.CANCELLING
    assert done(presenter, Ended()) == (CleanFolder(),)
    assert presenter.state is State.READY
    assert presenter.view().verdict == ()


def test_only_the_current_job_is_heard() -> None:
    presenter = led(*TO_RUNNING, CancelPressed(), Ended(job=1))
    assert StartJob(2) in presenter.handle(RunPressed())
    for event in (JobEvent(RESULT, 1), JobEvent(REFUSED, 1), Ended(failure("bug"), job=1)):
        assert presenter.handle(event) == ()
        assert presenter.state is State.RUNNING
    presenter.handle(JobEvent(RESULT, 2))
    assert presenter.state is State.IMPORTING


def test_no_run_begins_before_the_last_process_is_gone() -> None:
    presenter = led(*TO_RUNNING, JobEvent(REFUSED), Dismissed())
    assert presenter.state is State.READY
    assert "run" not in presenter.view().enabled
    assert presenter.view().message == "The last run is ending."
    assert presenter.handle(RunPressed()) == ()
    assert presenter.handle(Ended(failure("refused", 2))) == (CleanFolder(),)
    assert "run" in presenter.view().enabled


def test_the_end_of_a_good_run_keeps_its_folder_for_the_preview() -> None:
    presenter = led(*TO_RUNNING, JobEvent(RESULT), Imported())
    assert presenter.handle(Ended()) == ()
    assert presenter.state is State.DONE


def test_an_end_without_a_word_is_a_failure_with_one() -> None:
    presenter = led(*TO_RUNNING, Ended())
    assert presenter.state is State.FAILED
    assert presenter.view().message == failure("no_result").message


def test_an_import_that_says_nothing_still_has_a_sentence() -> None:
    presenter = led(*PATHS[State.IMPORTING], ImportFailed(""))
    assert presenter.view().message == failure("import_failed").message
    assert presenter.view().verdict == ()


@pytest.mark.parametrize(
    ("code", "again"), [("component_missing", True), ("not_started", True), ("refused", False)]
)
def test_the_doctor_looks_again_where_something_is_missing(code: str, again: bool) -> None:
    presenter = led(*TO_RUNNING, Ended(failure(code)))
    assert done(presenter, Dismissed()) == ((CheckRunner(),) if again else ())


def test_what_changes_during_a_run_counts_afterwards() -> None:
    gone = SourceChanged(False, "Gone.")
    presenter = led(*TO_RUNNING, gone, WRONG, OTHER, CancelPressed(), Ended())
    assert presenter.state is State.IDLE
    assert presenter.view().message == WRONG.problems[0]


@pytest.mark.parametrize("state", [State.NO_RUNNER, State.IDLE, State.READY, State.DONE])
def test_another_back_end_is_looked_at(state: State) -> None:
    presenter = led(ASKED, *PATHS[state])
    remote = RequestChanged((), Choice(backend="remote", server="https://cxr.example"))
    assert done(presenter, remote) == (CheckRunner(),)
    assert done(presenter, remote) == ()
    assert done(presenter, ASKED) == (CheckRunner(),)


def test_the_estimate_comes_from_earlier_runs_and_survives_a_restart() -> None:
    clock = iter((100.0, 118.0))
    presenter = Presenter(now=lambda: next(clock))
    for event in (*TO_RUNNING, JobEvent(RESULT), Ended(), Imported()):
        presenter.handle(event)
    assert presenter.timings == (("default", 1, 18.0),)
    assert presenter.view().estimate == "about 20 s on cpu"
    later = Presenter([tuple(t) for t in json.loads(json.dumps(presenter.timings))])
    for event in (HEALTHY, SOURCE, RequestChanged((), Choice(seeds=(1, 2), levels=(0.5, 1.0)))):
        later.handle(event)
    assert later.view().estimate == "about 70 s on cpu"
    later.handle(RequestChanged((), Choice(preset="paper")))
    assert later.view().estimate.startswith("time not known before the first run")


def test_a_failed_or_cancelled_run_teaches_no_time() -> None:
    for event in (CancelPressed(), JobEvent(REFUSED)):
        presenter = led(*TO_RUNNING, event, Ended())
        assert presenter.timings == ()


def test_many_steps_change_nothing_but_the_bar() -> None:
    presenter = led(*TO_RUNNING)
    for _ in range(1000):
        presenter.handle(JobEvent(STEP))
    assert presenter.view().progress == 46
