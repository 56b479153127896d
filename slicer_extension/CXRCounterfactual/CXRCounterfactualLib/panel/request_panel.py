# SPDX-License-Identifier: Apache-2.0
"""The settings of an edit, between the panel's widgets and a ``Choice``, both ways.

What is picked and what is typed lie on two tabs; the tab in front is the one that counts.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..contract.asking import ACCEPTED, DOUBT, FINDINGS, MEANT, ON_THE_MIDLINE, numbers, settings
from ..contract.params import Choice
from .widgets import (
    Handler,
    Widgets,
    data_of,
    fill,
    index_of,
    is_on,
    on,
    quiet,
    say,
    text_of,
    value_of,
)  # fmt: skip

__all__ = ["FINDINGS", "MEANT", "ON_THE_MIDLINE", "RequestPanel"]
PICK, TYPE = 0, 1  # the tabs


class RequestPanel:
    """Sections 2 and Advanced of the panel."""

    def __init__(self, widgets: Widgets, changed: Handler) -> None:
        self._w, self._unproven = widgets, frozenset[str]()
        self.show_findings(FINDINGS, ())
        w = widgets
        for box in (*(getattr(w, name) for name in MEANT), w.findingBox):
            on(box.currentIndexChanged, changed)
        for edit in (w.promptEdit, w.seedsEdit, w.levelsEdit, w.overridesEdit):
            on(edit.textChanged, changed)
        for slider in (w.severitySlider, w.strengthSlider):
            on(slider.valueChanged, changed)
        for check in (w.strengthCheck, w.sceneOnlyCheck):
            on(check.toggled, changed)
        for name in ACCEPTED:
            on(getattr(w, name).toggled, changed)
        on(w.requestTabs.currentChanged, changed)

    def show_findings(self, names: Sequence[str], unproven: Sequence[str]) -> None:
        """The vocabulary; those without evidence for these weights say so where they are chosen."""
        self._unproven = frozenset(unproven)
        items = [(name + DOUBT * (name in self._unproven), name) for name in names]
        fill(self._w.findingBox, items)
        self.refresh()

    def refresh(self, *notes: str) -> None:
        """Grey out what has no meaning for the finding, and say what should be known of it.

        Args:
            notes: rich text to add: the licence of the weights, settings that were damaged.
        """
        w, finding = self._w, data_of(self._w.findingBox)
        picked = index_of(w.requestTabs) == PICK
        for widget in (w.sideBox, w.sideBoxCaption):
            widget.setEnabled(finding not in ON_THE_MIDLINE)
        w.strengthSlider.setEnabled(is_on(w.strengthCheck))
        series = bool(text_of(w.levelsEdit).strip())
        w.severitySlider.setEnabled(not series)
        w.levelsByBox.setEnabled(series)
        words = []
        if picked and finding in self._unproven:
            words.append(
                f"<b>Unproven:</b> nothing shows yet that these weights draw <i>{finding}</i> well."
            )
        say(w.findingNoteLabel, "<br>".join([*words, *filter(None, notes)]))

    def reading(self) -> dict[str, bool]:
        """What the reader may let pass; said anew for every session, never kept in the scene."""
        return {flag: True for name, flag in ACCEPTED.items() if is_on(getattr(self._w, name))}

    def read(self, base: Choice) -> tuple[Choice, list[str]]:
        """``base`` with what the panel says, and a sentence for everything it cannot mean."""
        w, problems = self._w, list[str]()
        typed = index_of(w.requestTabs) == TYPE
        prompt = text_of(w.promptEdit).strip() if typed else ""
        if typed and not prompt:
            problems.append("Type what should be seen, for example: moderate left pleural effusion")
        finding = data_of(w.findingBox)
        choice = replace(
            base,
            prompt=prompt,
            finding=finding,
            direction=self._meant("directionBox"),
            side=None if finding in ON_THE_MIDLINE else self._meant("sideBox"),
            zone=self._meant("zoneBox"),
            severity=round(value_of(w.severitySlider), 4),
            preset=self._meant("presetBox"),
            seeds=numbers(text_of(w.seedsEdit), int, "Seeds: whole numbers", problems),
            levels=numbers(text_of(w.levelsEdit), float, "Series: numbers from 0 to 1", problems),
            levels_by=self._meant("levelsByBox"),
            strength=round(value_of(w.strengthSlider), 4) if is_on(w.strengthCheck) else None,
            overrides=settings(text_of(w.overridesEdit), problems),
            scene_only=is_on(w.sceneOnlyCheck),
            iod=self._meant("iodBox"),
        )
        return choice, problems

    def write(self, choice: Choice) -> None:
        """Show a choice, without telling that something changed."""
        w = self._w
        boxes = [getattr(w, name) for name in MEANT]
        edits = [w.promptEdit, w.seedsEdit, w.levelsEdit, w.overridesEdit]
        others = [w.findingBox, w.requestTabs, w.severitySlider, w.strengthSlider]
        with quiet(*boxes, *edits, *others, w.strengthCheck, w.sceneOnlyCheck):
            fields = {"directionBox": "direction", "sideBox": "side", "zoneBox": "zone"}
            fields["levelsByBox"] = "levels_by"
            for name, field in {**fields, "presetBox": "preset", "iodBox": "iod"}.items():
                values = MEANT[name]
                value = getattr(choice, field)
                getattr(w, name).setCurrentIndex(values.index(value) if value in values else 0)
            w.findingBox.setCurrentIndex(max(w.findingBox.findData(choice.finding), 0))
            w.requestTabs.setCurrentIndex(TYPE if choice.prompt else PICK)
            if choice.prompt:
                w.promptEdit.setText(choice.prompt)
            w.severitySlider.setValue(choice.severity)
            w.strengthCheck.setChecked(choice.strength is not None)
            if choice.strength is not None:
                w.strengthSlider.setValue(choice.strength)
            w.sceneOnlyCheck.setChecked(choice.scene_only)
            w.seedsEdit.setText(", ".join(map(str, choice.seeds)))
            w.levelsEdit.setText(", ".join(f"{level:g}" for level in choice.levels))
            w.overridesEdit.setPlainText(json.dumps(choice.overrides) if choice.overrides else "")

    def _meant(self, name: str) -> Any:
        return MEANT[name][max(index_of(getattr(self._w, name)), 0)]
