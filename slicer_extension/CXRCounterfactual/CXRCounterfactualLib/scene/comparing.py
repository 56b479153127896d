# SPDX-License-Identifier: Apache-2.0
"""One finished run beside its source: which member is in view, at which fade, and what is said.

No qt: a panel or a page shows it. What the views do lies in ``layout``; which nodes belong
together in ``history.Added``.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..contract.events import Result
from ..presenter.words import outside_words
from .results import show_member

if TYPE_CHECKING:
    from .history import Added
    from .layout import Compare

NOBODY = "No radiologist has judged this image."
TONES = {"passed": "good", "failed": "bad"}


class Comparison:
    """What is compared, and how.

    Args:
        views: the views that it moves.
        scene: gives the scene that is open now.
    """

    def __init__(self, views: "Compare", scene: Callable[[], Any]) -> None:
        self._views, self._scene = views, scene
        self._verdict: tuple[str, ...] = ()
        self.added: Added | None = None
        self.level, self.seed = 0, 0  # which of ``levels`` and ``seeds``
        self.one_view = False
        self.fading = 1.0  # 0 the source, 1 what lies over it
        self.mapped = False  # the change map lies over the source, not the counterfactual

    def open(self, added: "Added", verdict: Sequence[str] = ()) -> None:
        """Take a run, its strongest member first; ``lay_out`` brings it into view.

        Args:
            added: the run.
            verdict: sentences about a run that has just ended; else its record speaks.
        """
        self.added, self._verdict = added, tuple(verdict)
        self.level, self.seed = self.levels.index(added.levels[added.main]), 0
        self.mapped = False

    def leave(self) -> None:
        """Give the user's own views back."""
        self._views.leave()

    @property
    def levels(self) -> list[float]:
        """The severities of the run, weakest first."""
        return [] if self.added is None else sorted(set(self.added.levels))

    @property
    def seeds(self) -> list[int]:
        """Its seeds, in their order."""
        return [] if self.added is None else list(dict.fromkeys(self.added.seeds))

    @property
    def index(self) -> int:
        """The member that level and seed point at."""
        added = self.added
        if added is None:
            return 0
        level = self.levels[min(max(self.level, 0), len(self.levels) - 1)]
        seed = self.seeds[min(max(self.seed, 0), len(self.seeds) - 1)]
        pairs = list(zip(added.levels, added.seeds, strict=True))
        return pairs.index((level, seed)) if (level, seed) in pairs else added.main

    # What is seen

    def lay_out(self) -> None:
        """Show the member, side by side at full strength or in one view half faded."""
        if self.added is None:
            return
        volume = show_member(self._scene(), self.added, self.index)
        show = self._views.one_up if self.one_view else self._views.show
        show(self.added.source_id, volume)
        self.fading = 0.5 if self.one_view else 1.0
        self.show_change(self.mapped)

    def show_level(self) -> None:
        """Another member, in the same views at the same fade."""
        fading = self.fading
        self.lay_out()
        self.fade(fading)

    def fade(self, opacity: float) -> None:
        """0 shows the source, 1 what lies over it."""
        self.fading = opacity
        self._views.fade(opacity)

    def flick(self, on: bool) -> None:
        """One beat of the flicker; ``fade`` ends it."""
        self._views.flicker(on)

    def show_change(self, on: bool) -> None:
        """Lay the change map over the source, or the counterfactual again."""
        self.mapped = on
        if self.added is not None:
            self._views.change_map(self.added.change_id if on else "")
            self._views.fade(self.fading)

    def outline(self, on: bool) -> None:
        """Show or hide the outlines of region and band."""
        if self.added is not None:
            self._views.outline(self.added.segmentation_id, on)

    # What is said

    @property
    def title(self) -> tuple[str, str]:
        """What was asked, and which member is in view."""
        return ("", "") if self.added is None else (self.added.words, self.added.labels[self.index])

    @property
    def verdict(self) -> tuple[str, str]:
        """Plain words, and their tone: good, bad, doubt."""
        added = self.added
        if added is None:
            return "", "plain"
        # The sentence on the outside comes first and has a place of its own.
        words = self._verdict[1:] or (f"Verdict: {added.verdict_words or added.verdict}.",)
        return " ".join((*words, NOBODY)), TONES.get(added.verdict, "doubt")

    @property
    def outside(self) -> tuple[str, str]:
        """The largest change outside the region in words, and their tone."""
        if self.added is None:
            return "", "plain"
        words = outside_words(Result((), {"outside_max_diff": self.added.outside}))
        return words, "good" if self.added.outside == 0 else "bad"
