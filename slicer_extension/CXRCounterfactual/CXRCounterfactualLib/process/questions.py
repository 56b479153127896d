# SPDX-License-Identifier: Apache-2.0
"""Small questions to the runner (doctor, info, region), asked one after another, never waited for.

They have a back end of their own, so that a question never stands in the way of a run.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..contract.events import End
    from .backend import Backend
    from .commands import Command


@dataclass(frozen=True)
class Question:
    """A command and who hears of it."""

    command: "Command"
    answered: "Callable[[End], None]"
    heard: Callable[[Any], None] = lambda event: None
    logged: Callable[[str], None] = lambda text: None


class Questions:
    """A queue before one back end."""

    def __init__(self, backend: "Backend") -> None:
        self._backend = backend
        self._waiting: deque[Question] = deque()
        self._asked: Question | None = None

    @property
    def busy(self) -> bool:
        """Whether one is being asked."""
        return self._backend.running

    def ask(self, question: Question) -> None:
        """Ask as soon as those before are answered."""
        self._waiting.append(question)
        self._next()

    def withdraw(self, question: Question) -> bool:
        """Take one back: True if nobody had been asked; else it is stopped, and answered so."""
        if question in self._waiting:
            self._waiting.remove(question)
            return True
        if question is self._asked:
            self._backend.cancel()
        return False

    def stop(self) -> None:
        """Cancel the one that is being asked and forget the others."""
        self._waiting.clear()
        self._backend.cancel()

    def close(self) -> None:
        """The end of the module: nobody is told any more."""
        self._waiting.clear()
        self._backend.close()

    def _next(self) -> None:
        if self._backend.running or not self._waiting:
            return
        question = self._asked = self._waiting.popleft()

        def ended(end: "End") -> None:
            self._asked = None
            question.answered(end)
            self._next()

        self._backend.start(question.command, question.heard, ended, question.logged)
