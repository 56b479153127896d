# SPDX-License-Identifier: Apache-2.0
"""What the panel's widgets mean as a choice, what they cannot mean, and choices shown in them."""

import json
from pathlib import Path

from CXRCounterfactualLib.contract.asking import FINDINGS, MEANT, ON_THE_MIDLINE
from CXRCounterfactualLib.contract.params import Choice

from tests.slicer.helpers.panel import Stage, ready, stage

__all__ = ["ready", "stage"]
FULL = Choice(
    finding="pneumothorax", direction="remove", side="right", zone="apical", severity=0.35,
    preset="fast", seeds=(3, 4), strength=0.55, overrides={"boost": {"eta": 2}}, iod="same",
    scene_only=True,
)  # fmt: skip


def shown(stage: Stage) -> Choice:
    """The choice that the panel shows."""
    return stage.session.read()[0]


def problems(stage: Stage) -> list[str]:
    """What it cannot mean."""
    return stage.session.read()[1]


def test_a_choice_survives_the_panel(ready: Stage) -> None:
    ready.session.request.write(FULL)
    assert shown(ready) == FULL
    assert not problems(ready)


def test_a_typed_prompt_comes_to_the_front_and_counts(ready: Stage) -> None:
    ready.session.request.write(
        Choice(prompt="no cardiomegaly", levels=(0.25, 1.0), levels_by="guidance")
    )
    assert ready.w.requestTabs.currentIndex() == 1
    assert shown(ready).prompt == "no cardiomegaly"
    assert (shown(ready).levels, shown(ready).levels_by) == ((0.25, 1.0), "guidance")
    ready.w.requestTabs.setCurrentIndex(0)
    assert shown(ready).prompt == "", "the tab in front counts"


def test_an_empty_prompt_is_a_problem_in_words(ready: Stage) -> None:
    ready.w.requestTabs.setCurrentIndex(1)
    assert ready.state == "Idle"
    assert "Type what should be seen" in ready.w.statusLabel.text()
    ready.w.promptEdit.setText("small left effusion")
    assert ready.state == "Ready"


def test_numbers_that_are_none_are_told(ready: Stage) -> None:
    ready.w.seedsEdit.setText("1, x")
    assert "Seeds: whole numbers" in problems(ready)[0]
    ready.w.seedsEdit.setText("1; 2 3")
    assert shown(ready).seeds == (1, 2, 3)
    ready.w.seedsEdit.setText("")
    ready.w.levelsEdit.setText("0.5, much")
    assert "from 0 to 1" in problems(ready)[0]
    ready.w.levelsEdit.setText("0.5, 2")
    assert ready.state == "Idle"
    assert "between 0 and 1" in ready.w.statusLabel.text()


def test_settings_that_are_no_json_are_told(ready: Stage) -> None:
    ready.w.overridesEdit.setPlainText("{'boost'")
    assert "JSON" in problems(ready)[0]
    ready.w.overridesEdit.setPlainText('{"boost": {"eta": 3}}')
    assert shown(ready).overrides == {"boost": {"eta": 3}}


def test_a_finding_of_the_midline_has_no_side(ready: Stage) -> None:
    ready.w.sideBox.setCurrentIndex(1)
    ready.w.findingBox.setCurrentIndex(ready.w.findingBox.findData("cardiomegaly"))
    assert not ready.w.sideBox.isEnabled()
    assert shown(ready).side is None
    ready.w.findingBox.setCurrentIndex(ready.w.findingBox.findData("nodule"))
    assert shown(ready).side == "left"


def test_unproven_findings_and_the_licence_are_shown_where_they_are_chosen(stage: Stage) -> None:
    stage.widget.enter()
    stage.healthy(("nodule",))
    box = stage.w.findingBox
    assert box.itemText(box.findData("nodule")) == "nodule  (unproven)"
    assert "Unproven" not in stage.w.findingNoteLabel.text()
    assert "Apache-2.0" in stage.w.findingNoteLabel.text()
    box.setCurrentIndex(box.findData("nodule"))
    assert "Unproven" in stage.w.findingNoteLabel.text()
    assert shown(stage).finding == "nodule", "the mark is no part of the name"


def test_what_is_changed_lies_in_the_scene_at_once(ready: Stage) -> None:
    ready.w.presetBox.setCurrentIndex(1)
    ready.w.strengthCheck.setChecked(True)
    ready.w.strengthSlider.setValue(0.4)
    kept = ready.widget.logic.parameters().read()
    assert (kept.preset, kept.strength) == ("fast", 0.4)
    assert ready.w.strengthSlider.isEnabled()


def test_damaged_settings_of_a_scene_are_told_and_stand_at_their_defaults(ready: Stage) -> None:
    node = ready.widget.logic.getParameterNode()
    node.SetParameter("seeds", "[1, ")
    node.SetParameter("finding", "mass")
    ready.session.restore()
    assert shown(ready).seeds == ()
    assert shown(ready).finding == "mass"
    assert "damaged" in ready.w.findingNoteLabel.text()
    assert "seeds" in ready.w.findingNoteLabel.text()


def test_a_removal_and_a_series_grey_out_what_they_do_not_use(ready: Stage) -> None:
    ready.w.levelsEdit.setText("0.25, 0.5")
    assert not ready.w.severitySlider.isEnabled()
    assert ready.w.levelsByBox.isEnabled()
    ready.w.levelsEdit.setText("")
    assert ready.w.severitySlider.isEnabled()
    assert not ready.w.levelsByBox.isEnabled()


def test_the_panels_own_list_is_the_vocabulary(root: Path) -> None:
    text = (root / "monai_cxr_cf" / "prompts" / "findings.json").read_text(encoding="utf-8")
    vocabulary = json.loads(text)["findings"]
    assert tuple(vocabulary) == FINDINGS
    assert {name for name in vocabulary if not vocabulary[name]["sided"]} == ON_THE_MIDLINE
    zones = {zone for raw in vocabulary.values() for zone, _ in raw["region"]}
    assert zones <= set(MEANT["zoneBox"])


def test_every_item_of_a_box_has_a_meaning(stage: Stage) -> None:
    for name, values in MEANT.items():
        assert getattr(stage.w, name).count() == len(values), name
