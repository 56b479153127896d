# SPDX-License-Identifier: Apache-2.0
"""Section 5: one finished run beside its source; fade, flicker, change map, outlines, series.

The widgets of a ``Comparison``, which knows what is shown and said.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import qt

from ..scene.comparing import Comparison
from .styles import AMBER, TONES
from .widgets import Widgets, fill, index_of, is_on, on, quiet, say, value_of

if TYPE_CHECKING:
    from ..scene.history import Added
    from ..scene.layout import Compare

SIDE_BY_SIDE, ONE_VIEW = 0, 1  # the items of layoutBox
BEAT_MS = 500


class ComparePanel:
    """The widgets of the comparison."""

    def __init__(self, widgets: Widgets, views: "Compare", scene: Any) -> None:
        self._w, self._comparison = widgets, Comparison(views, scene)
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
        return self._comparison.added

    @property
    def in_view(self) -> tuple[tuple[str, ...], str]:
        """The nodes of source and member, and words for them."""
        added, member = self._comparison.added, self._comparison.index
        if added is None:
            return (), ""
        return (added.source_id, added.volume_ids[member]), f"{added.words}, {added.labels[member]}"

    def show(self, added: "Added", verdict: Sequence[str] = ()) -> None:
        """Bring a run into view, its strongest member first; see ``Comparison.open``."""
        w, comparison = self._w, self._comparison
        comparison.open(added, verdict)
        levels, seeds = comparison.levels, comparison.seeds
        with quiet(w.memberSlider, w.seedBox, w.changeMapCheck, w.flickerButton, w.outlineCheck):
            w.memberSlider.setProperty("maximum", float(max(len(levels) - 1, 1)))
            w.memberSlider.setValue(comparison.level)
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
        w, comparison = self._w, self._comparison
        w.compareSection.setEnabled(comparison.added is not None)
        verdict, tone = comparison.verdict
        outside, outside_tone = comparison.outside
        say(w.verdictLabel, escape(verdict))
        say(w.outsideLabel, outside and f"<b>{escape(outside)}</b>")
        if comparison.added is None:
            return
        title, label = comparison.title
        w.memberLabel.setText(f"<b>{escape(title)}</b><br>{escape(label)}")
        w.verdictLabel.setStyleSheet(TONES[tone])
        w.outsideLabel.setStyleSheet(TONES[outside_tone])
        say(w.notesLabel, "<br>".join(map(escape, comparison.added.notes)))

    def leave(self) -> None:
        """Give the user's own views back."""
        self._ticks.stop()
        self._w.flickerButton.setChecked(False)
        self._comparison.leave()

    def forget(self) -> None:
        """Nothing to compare any more: the scene was closed or the run's nodes removed."""
        self.leave()
        self._comparison.added = None
        self.refresh()

    def _lay_out(self) -> None:
        comparison = self._comparison
        comparison.one_view = index_of(self._w.layoutBox) == ONE_VIEW
        self._point()
        comparison.lay_out()
        self._follow()

    def _show_level(self) -> None:
        """Another member of the series, in the same views at the same fade."""
        self._point()
        self._comparison.show_level()
        self._follow()
        self.refresh()

    def _point(self) -> None:
        """The member that slider and seed box point at."""
        comparison = self._comparison
        comparison.level = round(value_of(self._w.memberSlider))
        comparison.seed = max(index_of(self._w.seedBox), 0)

    def _follow(self) -> None:
        """Show the fade and the legend of what is in view."""
        if self._comparison.added is not None:
            with quiet(self._w.fadeSlider):
                self._w.fadeSlider.setValue(self._comparison.fading)
            self._toggle_change()

    def _fade(self) -> None:
        self._comparison.fade(value_of(self._w.fadeSlider))

    def _toggle_flicker(self) -> None:
        if is_on(self._w.flickerButton):
            self._ticks.start()
        else:
            self._ticks.stop()
            self._fade()

    def _flick(self, *_: Any) -> None:
        self._beat = not self._beat
        self._comparison.flick(self._beat)

    def _toggle_change(self) -> None:
        if self._comparison.added is None:
            return
        shown = is_on(self._w.changeMapCheck)
        self._comparison.show_change(shown)
        self._w.changeLegendLabel.setVisible(shown)

    def _outline(self) -> None:
        self._comparison.outline(is_on(self._w.outlineCheck))
