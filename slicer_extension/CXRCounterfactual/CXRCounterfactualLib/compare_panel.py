# SPDX-License-Identifier: Apache-2.0
"""Section 5: one finished run beside its source; fade, flicker, change map, outlines, series.

What the views do lies in ``layout``; which nodes belong together in ``history.Added``.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import qt

from .events import Result
from .results import show_member
from .styles import AMBER, TONES
from .widgets import Widgets, fill, index_of, is_on, on, quiet, say, value_of
from .words import outside_words

if TYPE_CHECKING:
    from .history import Added
    from .layout import Compare

SIDE_BY_SIDE, ONE_VIEW = 0, 1  # the items of layoutBox
BEAT_MS = 500
NOBODY = "No radiologist has judged this image."


class ComparePanel:
    """The widgets of the comparison and the views they move."""

    def __init__(self, widgets: Widgets, views: "Compare", scene: Any) -> None:
        self._w, self._views, self._scene = widgets, views, scene
        self._added: Added | None = None
        self._verdict: tuple[str, ...] = ()
        self._beat, self._ticks = False, qt.QTimer()
        self._ticks.setInterval(BEAT_MS)
        self._ticks.timeout.connect(self._flick)
        w = widgets
        w.badgeLabel.setStyleSheet(AMBER)
        on(w.layoutBox.currentIndexChanged, self._lay_out)
        on(w.memberSlider.valueChanged, self._show_level)
        on(w.seedBox.currentIndexChanged, self._show_level)
        on(w.fadeSlider.valueChanged, self._fade)
        on(w.flickerButton.toggled, self._toggle_flicker)
        on(w.changeMapCheck.toggled, self._toggle_change)
        on(w.outlineCheck.toggled, self._outline)
        on(w.leaveButton.clicked, self.leave)
        self.refresh()

    @property
    def shown(self) -> "Added | None":
        """The run in view."""
        return self._added

    def show(self, added: "Added", verdict: Sequence[str] = ()) -> None:
        """Bring a run into view, its strongest member first.

        Args:
            added: the run.
            verdict: sentences about a run that has just ended; else its record speaks.
        """
        w = self._w
        self._added, self._verdict = added, tuple(verdict)
        levels, seeds = sorted(set(added.levels)), list(dict.fromkeys(added.seeds))
        main = added.main
        with quiet(w.memberSlider, w.seedBox, w.changeMapCheck, w.flickerButton, w.outlineCheck):
            w.memberSlider.setProperty("maximum", float(max(len(levels) - 1, 1)))
            w.memberSlider.setValue(levels.index(added.levels[main]))
            fill(w.seedBox, [(f"seed {seed}", str(seed)) for seed in seeds], chosen="")
            w.changeMapCheck.setChecked(False)
            w.flickerButton.setChecked(False)
            w.outlineCheck.setChecked(True)
        for widget in (w.memberSlider, w.memberSliderCaption):
            widget.setVisible(len(levels) > 1)
        for widget in (w.seedBox, w.seedBoxCaption):
            widget.setVisible(len(seeds) > 1)
        self._ticks.stop()
        w.compareSection.setCollapsed(False)
        self.refresh()
        self._lay_out()
        self._outline()

    def refresh(self) -> None:
        """Words and what may be used; nothing to compare greys the section out."""
        w, added = self._w, self._added
        w.compareSection.setEnabled(added is not None)
        if added is None:
            say(w.verdictLabel, "")
            say(w.outsideLabel, "")
            return
        index = self._index()
        w.memberLabel.setText(f"<b>{escape(added.words)}</b><br>{escape(added.labels[index])}")
        # The sentence on the outside comes first and has a place of its own.
        words = self._verdict[1:] or (f"Verdict: {added.verdict_words or added.verdict}.",)
        say(w.verdictLabel, escape(" ".join((*words, NOBODY))))
        tones = {"passed": "good", "failed": "bad"}
        w.verdictLabel.setStyleSheet(TONES[tones.get(added.verdict, "doubt")])
        say(
            w.outsideLabel,
            f"<b>{escape(outside_words(Result((), {'outside_max_diff': added.outside})))}</b>",
        )
        w.outsideLabel.setStyleSheet(TONES["good" if added.outside == 0 else "bad"])
        notes = "".join(f"<br>{escape(note)}" for note in added.notes)
        say(w.notesLabel, notes.removeprefix("<br>"))

    def leave(self) -> None:
        """Give the user's own views back."""
        self._ticks.stop()
        self._w.flickerButton.setChecked(False)
        self._views.leave()

    def forget(self) -> None:
        """Nothing to compare any more: the scene was closed or the run's nodes removed."""
        self.leave()
        self._added = None
        self.refresh()

    def _index(self) -> int:
        """The member that slider and seed box point at."""
        added = self._added
        if added is None:
            return 0
        levels, seeds = sorted(set(added.levels)), list(dict.fromkeys(added.seeds))
        level = levels[min(round(value_of(self._w.memberSlider)), len(levels) - 1)]
        seed = seeds[max(index_of(self._w.seedBox), 0)]
        pairs = list(zip(added.levels, added.seeds, strict=True))
        return pairs.index((level, seed)) if (level, seed) in pairs else added.main

    def _lay_out(self) -> None:
        if self._added is None:
            return
        volume = show_member(self._scene(), self._added, self._index())
        one = index_of(self._w.layoutBox) == ONE_VIEW
        (self._views.one_up if one else self._views.show)(self._added.source_id, volume)
        with quiet(self._w.fadeSlider):
            self._w.fadeSlider.setValue(0.5 if one else 1.0)
        self._toggle_change()

    def _show_level(self) -> None:
        """Another member of the series, in the same views at the same fade."""
        if self._added is None:
            return
        fade = value_of(self._w.fadeSlider)
        self._lay_out()
        self._w.fadeSlider.setValue(fade)
        self.refresh()

    def _fade(self) -> None:
        self._views.fade(value_of(self._w.fadeSlider))

    def _toggle_flicker(self) -> None:
        if is_on(self._w.flickerButton):
            self._ticks.start()
        else:
            self._ticks.stop()
            self._fade()

    def _flick(self, *_: Any) -> None:
        self._beat = not self._beat
        self._views.flicker(self._beat)

    def _toggle_change(self) -> None:
        if self._added is None:
            return
        shown = is_on(self._w.changeMapCheck)
        self._views.change_map(self._added.change_id if shown else "")
        self._w.changeLegendLabel.setVisible(shown)
        self._fade()

    def _outline(self) -> None:
        if self._added is not None:
            self._views.outline(self._added.segmentation_id, is_on(self._w.outlineCheck))
