# SPDX-License-Identifier: Apache-2.0
"""Every way a run can fail, as one sentence and the next step; and the report a user can share.

What the runner says itself goes first (``events.Failed``); this speaks where it could not. The
report holds no path, no UID, no word of a prompt.
"""

import platform
import re
from collections.abc import Mapping

from .. import __version__
from .events import Failed

DETAILS = "See the details; 'Copy report' makes a text without patient data to send to us."
AGAIN = "Press 'Check again' in the settings: it names what is missing."
# code -> (message, hint)
CATALOGUE: Mapping[str, tuple[str, str]] = {
    "not_started": ("The runner could not be started.", f"Is its Python still there? {AGAIN}"),
    "not_prepared": (
        "The job could not be written.",
        "Is the disk full? Make room, or set another temporary folder in Slicer's settings.",
    ),
    "not_installed": (
        "The runner's Python has no monai-cxr-cf.",
        "In the section on where it runs, name a Python that has it; or create an environment.",
    ),
    "bug": ("The runner stopped at an error of its own.", DETAILS),
    "refused": ("The runner refused the request.", "See the details for what it expected."),
    "component_missing": ("A part that the runner needs is missing.", AGAIN),
    "resource_exhausted": (
        "Memory or disk ran out.",
        "Choose the preset 'fast' or fewer seeds, or make room on the disk.",
    ),
    "remote_failure": (
        "The server failed or could not be reached.",
        "Check its address and whether it runs.",
    ),
    "stopped": ("The run was stopped from outside.", "Run it again."),
    "killed": (
        "The system ended the runner, most likely because memory ran out.",
        "Close other programs, or choose the preset 'fast' or fewer seeds.",
    ),
    "crashed": ("The runner crashed.", f"Run it again. If it happens twice: {AGAIN}"),
    "no_result": ("The runner ended without a result.", DETAILS),
    "unexpected_exit": ("The runner ended in a way that is not known.", DETAILS),
    "server_lost": (
        "The server no longer answers.",
        "Check the network and the server; its job goes on or is there when you run again.",
    ),
    "import_failed": ("The result could not be added to the scene.", DETAILS),
}
EXITS = {
    0: "no_result",
    1: "bug",
    2: "refused",
    3: "component_missing",
    4: "resource_exhausted",
    5: "remote_failure",
    130: "stopped",
    143: "stopped",
}
KILL, STOPS = 9, (2, 15)  # signals: SIGKILL; SIGINT, SIGTERM
MISSING = re.compile(r"No module named '?monai_cxr_cf|package 'monai_cxr_cf' is missing")
SECRETS = (
    (re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE), "<address>"),
    (re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"(?<!\w)[A-Za-z]:[\\/][^\n,;]*|\\\\[^\n,;]*"), "<path>"),
    (re.compile(r"(?<![\w<])~?(?:/[^\s/,;:]+)+/?[^\n,;:]*"), "<path>"),
    (re.compile(r"\b\d+(?:\.\d+){3,}\b"), "<uid>"),
    (re.compile(r"\S+@\S+"), "<address>"),
    (re.compile(r"\b[\w-]+\.(?:dcm|png|nrrd|nii|npz|json)\b", re.IGNORECASE), "<file>"),
    (re.compile(r"[^\s<>]*[\\/][^\s<>]+"), "<path>"),
)


def failure(code: str, exit_code: int | None = None) -> Failed:
    """An entry of the catalogue."""
    message, hint = CATALOGUE[code]
    return Failed(code, message, hint, exit_code)


def ended(
    exit_code: int | None,
    stderr_tail: str = "",
    saw_result: bool = False,
    cancelled: bool = False,
    crashed: bool = False,
) -> Failed | None:
    """What the end of a process means when its events did not say.

    Args:
        exit_code: as the system tells it; of a crash the signal, or its negative; None if the
            process never started.
        stderr_tail: the last lines of its log; only looked through.
        saw_result: a result was told, so all is well.
        cancelled: the user stopped it, so nothing failed.
        crashed: it ended by a signal.
    """
    if cancelled or saw_result:
        return None
    if exit_code is None:
        return failure("not_started")
    number = _signal(exit_code, crashed)
    if number is not None:
        code = "killed" if number == KILL else "stopped" if number in STOPS else "crashed"
    elif exit_code in (1, 3) and MISSING.search(stderr_tail):
        code = "not_installed"
    else:
        code = EXITS.get(exit_code, "unexpected_exit")
    return failure(code, exit_code)


def _signal(exit_code: int, crashed: bool) -> int | None:
    """The signal that ended it; a shell tells 128 and more, except for ours (130, 143)."""
    if crashed or exit_code < 0:
        return abs(exit_code)
    return exit_code - 128 if 128 < exit_code < 160 and exit_code not in EXITS else None


def scrubbed(text: str) -> str:
    """A text without paths, addresses, UIDs, file names and quoted words."""
    for pattern, word in SECRETS:
        text = pattern.sub(word, text)
    return text


def describe_failure(
    failed: Failed, *, stage: str = "", versions: Mapping[str, str] | None = None, where: str = ""
) -> str:
    """The text of "Copy report": what a developer needs, and nothing of a patient.

    Args:
        failed: what went wrong.
        stage: the last stage that was told.
        versions: of the runner: version, device, lock.
        where: "local" or "remote".
    """
    exit_code = "-" if failed.exit_code is None else str(failed.exit_code)
    lines = [
        "CXRCounterfactual: a run failed (no patient data in this text)",
        f"code: {scrubbed(failed.code)}",
        f"message: {scrubbed(failed.message)}",
        f"hint: {scrubbed(failed.hint) or '-'}",
        f"exit code: {exit_code}",
        f"stage: {scrubbed(stage) or '-'}",
        f"where: {where or '-'}",
        f"extension: {__version__}, Python {platform.python_version()}, {platform.system()}",
    ]
    lines += [f"runner {name}: {scrubbed(text)}" for name, text in (versions or {}).items() if text]
    return "\n".join(lines)
