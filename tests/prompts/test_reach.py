# SPDX-License-Identifier: Apache-2.0
"""How far a word reaches: sides, zones, verbs and severities over lists, one rule a line."""

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.parse import parse_prompt
from tests.prompts.test_parse import short

PLACES = {
    "lower left and right upper opacities": ["left|lower", "right|upper"],  # each zone in its turn
    "left apical and right upper opacity": ["left|apical", "right|upper"],
    "left apical and upper opacity": ["left|apical"],  # the finer of two that meet
    "left upper and right upper opacity": ["both|upper"],
    "right upper and lower opacities": ["right|upper", "right|lower"],
    "left and right lower opacities": ["both|lower"],
    "RUL and lingula opacities": ["right|upper", "left|mid"],
}
VERBS = {
    "no effusion, small nodule": ["remove pleural effusion|||", "add nodule|||0.25"],
    "no effusion, left nodule, or mass": [
        "remove pleural effusion|||", "remove nodule|left||", "remove mass|||"],
    "remove effusion, add left nodule and mass": [
        "remove pleural effusion|||", "add nodule|left||", "add mass|left||"],
    "add a left nodule, right mass": ["add nodule|left||", "add mass|right||"],
    "worse effusion, edema": ["change pleural effusion|||", "change pulmonary edema|||"],
    "improved effusion and edema": [
        "remove pleural effusion|||0.5", "remove pulmonary edema|||0.5"],
    "effusion, edema and mass have resolved": [
        "remove pleural effusion|||", "remove pulmonary edema|||", "remove mass|||"],
    "effusion. edema and mass have resolved": [
        "add pleural effusion|||", "remove pulmonary edema|||", "remove mass|||"],
    "slightly improved effusion": ["remove pleural effusion|||0.25"],
    "slightly smaller heart": ["remove cardiomegaly|||0.25"],
    "completely resolved effusion": ["remove pleural effusion|||"],
    "markedly worse left effusion": ["change pleural effusion|left||0.9"],
    "small to moderate effusion": ["add pleural effusion|||0.375"],
    "massive effusion": ["add pleural effusion|||1.0"],
}  # fmt: skip
# text -> the second finding's entry, and whether a note says that it took its neighbour's place
SHARED = {
    "left upper nodule and opacity": ("add lung opacity|left|upper|", True),
    "left upper nodule and effusion": ("add pleural effusion|left||", True),  # not lung tissue
    "upper nodule and effusion": ("add pleural effusion|||", False),
    "left effusion and a nodule": ("add nodule|||", False),
    "left effusion and small nodule": ("add nodule|||0.25", False),
    "left effusion and cardiomegaly": ("add cardiomegaly|||", False),
    "left effusion, nodule": ("add nodule|||", False),
    "nodule. consolidation and effusion on the left": ("add consolidation|left||", True),
}


@pytest.mark.parametrize(("text", "places"), PLACES.items(), ids=PLACES)
def test_zones_go_with_their_sides(text: str, places: list[str]) -> None:
    found = [f"{f.side or ''}|{f.zone or ''}" for f in parse_prompt(text).findings]
    assert found == places


@pytest.mark.parametrize(("text", "expected"), VERBS.items(), ids=VERBS)
def test_verbs_and_severities_reach_as_far_as_they_are_meant(
    text: str, expected: list[str]
) -> None:
    assert [short(f) for f in parse_prompt(text).findings] == expected


@pytest.mark.parametrize(("text", "expected"), SHARED.items(), ids=SHARED)
def test_a_bare_finding_shares_its_neighbours_place(text: str, expected: tuple[str, bool]) -> None:
    parsed = parse_prompt(text)
    assert short(parsed.findings[1]) == expected[0]
    assert bool(parsed.notes) == expected[1]


@pytest.mark.parametrize("text", ["no effusion, left nodule and mass",
                                  "no effusion, nodule and left mass",
                                  "no effusion, nodule", "no effusion with edema",
                                  "bibasilar and left lower opacity",
                                  "no effusion, left nodule. No mass or edema"])  # fmt: skip
def test_a_list_that_can_be_read_two_ways_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_prompt(text)
    assert caught.value.code == "ambiguous_prompt"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_side_on_the_midline_is_said_not_to_count(side: str) -> None:
    parsed = parse_prompt(f"{side} cardiomegaly")
    assert parsed.findings[0].side is None
    assert parsed.notes == ("cardiomegaly lies on the midline; the side was not used",)
    assert parse_prompt("bilateral cardiomegaly").notes == ()
