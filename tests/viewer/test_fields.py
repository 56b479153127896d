# SPDX-License-Identifier: Apache-2.0
"""What stands on the page as a ``Choice``, and the lists that it offers."""

from types import SimpleNamespace
from typing import Any

import pytest

from monai_cxr_cf.viewer import fields


def said(**changes: Any) -> Any:
    """The page's fields, some of them changed."""
    return SimpleNamespace(**{**fields.ASKED, **changes})


def test_the_first_page_asks_for_something_that_can_be_run() -> None:
    choice, found = fields.asked(said())
    assert not found
    assert (choice.finding, choice.direction, choice.side) == ("pleural effusion", "add", None)
    assert choice.scene_only, "there is no DICOM database here"


def test_what_is_picked_is_asked() -> None:
    choice, found = fields.asked(
        said(finding="nodule", side="left", zone="upper", severity=0.5, levels="0.5; 1", seeds="7")
    )
    assert not found
    assert (choice.finding, choice.side, choice.zone) == ("nodule", "left", "upper")
    assert (choice.severity, choice.levels, choice.seeds) == (0.5, (0.5, 1.0), (7,))


def test_how_severities_are_made_is_asked() -> None:
    assert fields.asked(said(levels="0.5"))[0].levels_by == "blend"
    assert fields.asked(said(levels="0.5", levels_by="guidance"))[0].levels_by == "guidance"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"way": "type"}, "Type what should be seen"),
        ({"levels": "half"}, "Series"),
        ({"seeds": "1.5"}, "Seeds"),
    ],
)
def test_what_cannot_be_meant_is_said(changes: dict[str, Any], words: str) -> None:
    _, found = fields.asked(said(**changes))
    assert any(words in sentence for sentence in found)


def test_typed_words_replace_what_is_picked_and_the_other_way_round() -> None:
    assert fields.asked(said(way="type", prompt=" no nodule "))[0].prompt == "no nodule"
    assert fields.asked(said(way="pick", prompt="no nodule"))[0].prompt == ""


def test_a_finding_on_the_midline_loses_its_side() -> None:
    assert fields.asked(said(finding="cardiomegaly", side="left"))[0].side is None


def test_every_finding_is_suggested_to_be_added_and_removed() -> None:
    offered = fields.prompts(("nodule", "cardiomegaly"))
    assert offered == ["moderate left nodule", "moderate cardiomegaly", "no nodule",
                       "no cardiomegaly"]  # fmt: skip


def test_findings_without_evidence_say_so() -> None:
    shown = fields.findings(("nodule", "mass"), frozenset({"mass"}))
    assert [item["title"] for item in shown] == ["nodule", "mass  (unproven)"]


def test_lists_start_with_the_choice_that_says_nothing() -> None:
    assert fields.LISTS["side_items"][0] == {"title": "default", "value": ""}
    assert {"title": "cardiac silhouette", "value": "cardiac_silhouette"} in fields.LISTS[
        "zone_items"
    ]
