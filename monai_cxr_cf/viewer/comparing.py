# SPDX-License-Identifier: Apache-2.0
"""One finished run beside its source: the page's sliders and switches on a ``Comparison``."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from CXRCounterfactualLib.scene.comparing import Comparison
from CXRCounterfactualLib.scene.layout import Compare

if TYPE_CHECKING:
    from CXRCounterfactualLib.scene.history import Added

    from .application import ViewerApp

BEAT_S = 0.5


class ComparePage:
    """What the performer and the page call; the decisions are the comparison's.

    Args:
        app: views and scene.
        state: the fields of the page.
    """

    def __init__(self, app: "ViewerApp", state: Any) -> None:
        self._state, self._views = state, Compare(app)
        self._comparison = Comparison(self._views, app.scene)
        self._beat: asyncio.Task[None] | None = None
        for names, react in (
            (("level", "seed"), self._member), (("one_view",), self._lay_out),
            (("fade",), self._fade), (("mapped",), self._change), (("outlined",), self._outline),
            (("flicker",), self._flicker),
        ):  # fmt: skip
            state.change(*names)(react)

    def show(self, added: "Added", verdict: Sequence[str] = ()) -> None:
        """Bring a run into view, its strongest member first."""
        comparison, state = self._comparison, self._state
        comparison.open(added, verdict)
        state.level_top = max(len(comparison.levels) - 1, 0)
        state.level_ticks = {i: f"{level:g}" for i, level in enumerate(comparison.levels)}
        state.seed_items = [{"title": f"seed {seed}", "value": i}
                            for i, seed in enumerate(comparison.seeds)]  # fmt: skip
        state.level, state.seed = comparison.level, comparison.seed
        state.mapped, state.outlined, state.flicker = False, True, False
        state.compared, state.past_run = True, added.run
        self._lay_out()
        self._outline()
        self._say()

    def forget(self) -> None:
        """Nothing to compare any more."""
        self._comparison.leave()
        self._comparison.added = None
        self._state.compared, self._state.flicker = False, False
        self._state.caption_Red = self._state.caption_Yellow = ""

    def _say(self) -> None:
        comparison, state = self._comparison, self._state
        state.compare_title, state.compare_label = comparison.title
        state.verdict, state.verdict_tone = comparison.verdict
        state.outside, state.outside_tone = comparison.outside
        state.notes = list(comparison.added.notes) if comparison.added else []
        over = "Signed change: red denser, blue more lucent" if state.mapped else "Counterfactual"
        one = f"Source, faded into: {over}"
        state.caption_Red = one if comparison.one_view else "Source"
        state.caption_Yellow = f"{over} (SYNTHETIC)"

    def _lay_out(self, **_: Any) -> None:
        self._comparison.one_view = bool(self._state.one_view)
        self._comparison.lay_out()
        self._state.fade = self._comparison.fading
        if self._comparison.added is not None:
            self._say()

    def _member(self, **_: Any) -> None:
        comparison, state = self._comparison, self._state
        if comparison.added is None or (comparison.level, comparison.seed) == (
            int(state.level), int(state.seed),
        ):  # fmt: skip
            return
        comparison.level, comparison.seed = int(state.level), int(state.seed)
        comparison.show_level()
        self._say()

    def _fade(self, **_: Any) -> None:
        if self._comparison.added is not None:
            self._comparison.fade(float(self._state.fade))

    def _change(self, **_: Any) -> None:
        if self._comparison.added is not None:
            self._comparison.show_change(bool(self._state.mapped))
            self._say()

    def _outline(self, **_: Any) -> None:
        self._comparison.outline(bool(self._state.outlined))

    def _flicker(self, **_: Any) -> None:
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        if self._state.flicker and self._comparison.added is not None:
            self._beat = asyncio.get_running_loop().create_task(self._flick())
        else:
            self._fade()

    async def _flick(self) -> None:
        on = False
        while True:
            self._comparison.flick(on)
            on = not on
            await asyncio.sleep(BEAT_S)
