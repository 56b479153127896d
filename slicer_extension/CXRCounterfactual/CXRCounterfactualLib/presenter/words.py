# SPDX-License-Identifier: Apache-2.0
"""What is said of a run in plain sentences: progress, verdict, the change outside, time needed."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from ..contract.events import STAGES, Progressed, Result
from ..contract.params import LOCAL, Choice, sampled

BADGE = "SYNTHETIC - research only, never for diagnosis"
DOING = {
    "upload": "Sending the radiograph to the server",
    "queue": "Waiting in the server's queue",
    "read": "Reading the radiograph",
    "segment": "Finding lungs and heart",
    "region": "Placing the region and loading the model",
    "sample": "Drawing the change",
    "decode": "Decoding the image",
    "composite": "Putting the change into the radiograph",
    "write": "Writing DICOM files",
    "download": "Fetching the results",
}
Timing = tuple[str, int, float]  # what ran (``kind_of``), images, seconds


def percent_of(progress: Progressed) -> int:
    """How far a run is, 0..100: each stage counts the same, for none knows its share before."""
    if progress.stage not in STAGES:
        return 0
    done = STAGES.index(progress.stage) + progress.step / progress.total
    return round(100 * done / len(STAGES))


def progress_words(progress: Progressed | None) -> str:
    """Stage, step i of N and the time left in the stage."""
    if progress is None:
        return "Starting the runner"
    words = DOING.get(progress.stage, progress.stage)
    if progress.stage in STAGES:
        words = f"Stage {STAGES.index(progress.stage) + 1} of {len(STAGES)}: {words}"
    if progress.stage == "queue":
        words += f", place {progress.total}"
    elif progress.total > 1:
        words += f", step {progress.step} of {progress.total}"
    if progress.eta_s is not None and progress.step < progress.total:
        words += f", {seconds_words(progress.eta_s)} left in this stage"
    return words


def seconds_words(seconds: float) -> str:
    """A time as people say it: "about 20 s", "about 3 min"."""
    if seconds < 10:
        return f"about {max(round(seconds), 1)} s"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    return f"about {round(seconds / 60)} min"


def kind_of(choice: Choice) -> str:
    """What runs are alike in time: "fast", "fast on a server"."""
    kind = f"{choice.preset}, levels sampled" if sampled(choice) else choice.preset
    return kind if choice.backend == LOCAL else f"{kind} on a server"


def images_of(choice: Choice) -> int:
    """How many images a choice asks for."""
    return max(len(choice.seeds), 1) * max(len(choice.levels), 1)


def estimate(past: Sequence[Timing], choice: Choice) -> str:
    """The time a run will take, from the last earlier ones that are like it; each image adds."""
    kind = kind_of(choice)
    known = [seconds / max(count, 1) for name, count, seconds in past[-20:] if name == kind]
    if not known:
        return "time not known before the first run with this preset"
    return seconds_words(median(known) * images_of(choice))


def outside_words(result: Result) -> str:
    """The largest change outside region and band."""
    value = result.metrics.get("outside_max_diff")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "How much changed outside the region was not measured."
    if value == 0:
        return "Nothing outside the region and its band changed (largest difference 0)."
    return f"Outside the region pixels changed by up to {value:g} stored units."


def verdict_words(result: Result) -> tuple[str, ...]:
    """What the checks found, sentence by sentence; and which of it no classifier saw."""
    verdict = result.verdict
    sentences = [outside_words(result), _checks(verdict)]
    opinion = verdict.get("classifier")
    if not isinstance(opinion, dict):
        sentences.append("Unproven: no classifier has judged the finding.")
    elif verdict.get("proven") is True:
        sentences.append(f"Classifier {_name(opinion)} sees the finding change as asked.")
    elif verdict.get("verdict") == "passed":
        judge = _name(opinion)
        sentences.append(f"Where classifier {judge} cannot tell, density and outlines judge.")
    sentences += _members(result.metrics.get("members"))
    return tuple(sentences)


def _checks(verdict: Any) -> str:
    checks = [check for check in verdict.get("checks") or () if isinstance(check, dict)]
    said = {True: "All checks passed.", False: "A check failed", None: "Not all could be checked"}
    outcome = {"passed": True, "failed": False}.get(verdict.get("verdict"))
    if outcome is True:
        return said[True]
    words = [str(check.get("words", "")) for check in checks if check.get("passed") is outcome]
    told = "; ".join(word for word in words if word)
    return f"{said[outcome]}: {told}." if told else f"{said[outcome]}."


def _name(opinion: Any) -> str:
    return str(opinion.get("judge", "")).upper()


def _members(members: Any) -> list[str]:
    """Of several images, how many passed; the verdict itself is about one."""
    if not isinstance(members, list) or len(members) < 2:
        return []
    passed = sum(isinstance(m, dict) and m.get("verdict") == "passed" for m in members)
    return [f"{passed} of {len(members)} images passed all checks."]
