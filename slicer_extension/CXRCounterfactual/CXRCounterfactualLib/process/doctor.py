# SPDX-License-Identifier: Apache-2.0
"""What ``cxr-cf doctor`` and the server answered, as rows for a screen: what is there, what to do.

No qt: the widget starts the commands and shows the rows.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..contract.events import End
from .environment import Runner

ROOM = 10**9  # bytes: a result is small, a series of levels and its copy in the database is not
ORIGINS = {
    "setting": "the module's settings",
    "variable": "MONAI_CXR_CF_PYTHON",
    "path": "the search path",
}
CREATE = "Press 'Create environment', or name a Python that has monai-cxr-cf."
NO_PACKAGE = (
    "Name a wheel of monai-cxr-cf or the folder of a checkout in the card 'Set up', "
    "or name a Python that has it."
)


@dataclass(frozen=True)
class Row:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    hint: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All rows, in the order in which one explains the next."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether a run would work."""
        return all(row.ok for row in self.rows)

    @property
    def problems(self) -> tuple[str, ...]:
        """One sentence for each failed row."""
        bad = (row for row in self.rows if not row.ok)
        return tuple(f"{row.name}: {row.found}. {row.hint}".strip() for row in bad)


def diagnose(rows: Iterable[Row | Iterable[Row]]) -> Diagnosis:
    """Rows and groups of rows as one diagnosis."""
    flat: list[Row] = []
    for row in rows:
        flat += [row] if isinstance(row, Row) else row
    return Diagnosis(tuple(flat))


def runner_row(runner: Runner | None, cure: str = CREATE) -> Row:
    """Is there a Python for the runner at all?

    Args:
        runner: as found.
        cure: what to do if there is none.
    """
    if runner is None:
        return Row("environment", False, "none was found", cure)
    origin = ORIGINS[runner.origin]
    if not runner.there:
        found = f"the Python that {origin} names does not exist"
        return Row("environment", False, found, "Name another one, or create an environment.")
    return Row("environment", True, f"found by {origin}")


def making_rows(python: str | None, named: str, package: str | None) -> tuple[Row, ...]:
    """What is missing to create an environment; empty if nothing is.

    Args:
        python: of the system, or uv, to make it from.
        named: what the user named to install, or "".
        package: what would be installed.
    """
    rows = []
    if package is None:
        none = "there is none to create an environment from"
        found = "what is named is neither a wheel of it nor a checkout" if named else none
        rows.append(Row("package", False, found, NO_PACKAGE))
    if python is None:
        found = "no Python 3.11 to 3.13 was found on this computer"
        rows.append(Row("Python", False, found, "Install one, or uv, which brings one along."))
    return tuple(rows)


def runner_rows(answer: End) -> tuple[Row, ...]:
    """What ``cxr-cf doctor --json`` says, or why it says nothing."""
    told = _checks(answer)
    if told:
        return told
    if answer.exit_code == 3:
        cure = "Name a Python that has it, or create an environment."
        return (Row("runner", False, "monai-cxr-cf is not installed in that Python", cure),)
    return (Row("runner", False, _silence(answer), "Create a new environment."),)


def server_rows(answer: End) -> tuple[Row, ...]:
    """What the server's client says about the server, or why it says nothing."""
    cure = "Check address and key, and that the server runs: cxr-cf serve."
    return _checks(answer) or (Row("server", False, _silence(answer), cure),)


def disk_row(folder: Path) -> Row:
    """Room where results are written before they are imported."""
    free = shutil.disk_usage(folder).free
    cure = "Make room, or set another temporary folder in Slicer's settings."
    return Row("room for results", free >= ROOM, f"{free / 1e9:.1f} GB free", cure)


def _checks(answer: End) -> tuple[Row, ...]:
    checks = (answer.document or {}).get("checks")
    if not isinstance(checks, list):
        return ()
    known = [check for check in checks if isinstance(check, dict)]
    return tuple(
        Row(str(c.get("name", "")), c.get("ok") is True, str(c.get("found", "")),
            str(c.get("hint", "")))
        for c in known
    )  # fmt: skip


def _silence(answer: End) -> str:
    if answer.exit_code is None:
        return "it could not be started"
    if answer.crashed:
        return "it crashed"
    return f"it gave no answer (exit code {answer.exit_code})"
