# SPDX-License-Identifier: Apache-2.0
"""Findings to words: target and negative prompts, round trip, and the description for DICOM."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr_cf.prompts.compose import (
    NORMAL,
    describe,
    prompt_from_findings,
    removal_prompt,
    source_prompt,
    target_prompt,
    text_of,
)
from monai_cxr_cf.prompts.findings import VOCABULARY, lookup
from monai_cxr_cf.prompts.parse import parse_prompt, parsed_from_findings
from monai_cxr_cf.request import FindingEdit

SIDED = [name for name, f in VOCABULARY.items() if f.sided]


def test_addition_runs_on_the_words_as_written() -> None:
    parsed = parse_prompt("Moderate LEFT pleural effusion!")
    assert target_prompt(parsed).text == "Moderate LEFT pleural effusion!"
    assert target_prompt(parsed).findings == parsed.findings
    assert removal_prompt(parsed).text == ""


def placed(spanned) -> list[tuple[str, str]]:
    """(finding, the words at its span) of a text."""
    return [(f.finding, spanned.text[slice(*f.span)]) for f in spanned.findings]


@pytest.mark.parametrize("name", VOCABULARY)
def test_every_finding_is_removed_by_healthy_words(name) -> None:
    words = "normal heart size" if name == "cardiomegaly" else "clear lungs"
    own = text_of(FindingEdit(name, direction="remove", severity=0.5))
    assert (own.text, placed(own)) == (words, [(name, words)])
    parsed = parsed_from_findings([FindingEdit(name, direction="remove")])
    assert placed(target_prompt(parsed)) == [(name, words)]
    assert lookup(words) is None, "no word of it names a finding"


def test_an_added_findings_own_text_is_what_it_is_called() -> None:
    own = text_of(parse_prompt("large left effusion").findings[0])
    assert (own.text, placed(own)) == ("severe left effusion", [("pleural effusion", "effusion")])


def test_healthy_words_are_said_once_of_all_that_goes() -> None:
    target = target_prompt(parse_prompt("no effusion, no cardiomegaly, no edema"))
    assert target.text == "clear lungs, normal heart size"
    assert placed(target) == [
        ("pleural effusion", "clear lungs"),
        ("cardiomegaly", "normal heart size"),
        ("pulmonary edema", "clear lungs"),
    ]


@pytest.mark.parametrize(
    ("prompt", "source"),
    [
        ("left effusion", "clear lungs"),
        ("cardiomegaly and edema", "clear lungs, normal heart size"),
        ("no large left effusion", "left effusion"),
        ("no cardiomegaly", "cardiomegaly"),
        ("no effusion, moderate cardiomegaly", "effusion, normal heart size"),
        ("no effusion, moderate nodule", "effusion"),
        ("worse edema", "clear lungs"),
    ],
)
def test_the_source_is_said_to_be_the_opposite(prompt, source) -> None:
    assert source_prompt(parse_prompt(prompt)) == source


def test_a_mixed_edit_says_what_comes_then_what_is_healthy_in_the_order_of_the_findings() -> None:
    parsed = parse_prompt("no effusion, moderate cardiomegaly, right nodule")
    target = target_prompt(parsed)
    assert target.text == "moderate cardiomegaly, right nodule, clear lungs"
    assert placed(target) == [
        ("pleural effusion", "clear lungs"), ("cardiomegaly", "cardiomegaly"), ("nodule", "nodule"),
    ]  # fmt: skip


def test_a_removal_by_the_negative_prompt_runs_on_the_normal_one_and_steers_away() -> None:
    parsed = parse_prompt("no large left effusion")
    assert target_prompt(parsed, healthy=False).text == NORMAL == "no acute cardiopulmonary process"
    assert target_prompt(parsed, healthy=False).findings == ()
    negative = removal_prompt(parsed)
    assert negative.text == "left effusion"
    assert [negative.text[slice(*f.span)] for f in negative.findings] == ["effusion"]


def test_mixed_prompt_splits_into_target_and_negative() -> None:
    parsed = parse_prompt("no effusion, moderate cardiomegaly")
    assert parsed.mode == "mixed"
    target, negative = target_prompt(parsed, healthy=False), removal_prompt(parsed)
    assert (target.text, negative.text) == ("moderate cardiomegaly", "effusion")
    assert [f.finding for f in target.findings] == ["cardiomegaly"]
    assert [f.finding for f in negative.findings] == ["pleural effusion"]


def test_negated_words_never_reach_the_target_text() -> None:
    for text in ("no effusion but a nodule", "edema has resolved. Left pneumothorax."):
        parsed = parse_prompt(text)
        for gone in parsed.removed:
            assert gone.phrase not in target_prompt(parsed).text
            assert gone.phrase not in target_prompt(parsed, healthy=False).text


def test_phrase_that_names_no_finding_by_itself_gives_way_to_the_name() -> None:
    parsed = parse_prompt("cardiac silhouette is mildly enlarged, but no nodule")
    assert target_prompt(parsed).text == "mild cardiomegaly, clear lungs"
    assert target_prompt(parsed, healthy=False).text == "mild cardiomegaly"


def test_lung_is_not_said_twice() -> None:
    edit = FindingEdit("lung opacity", side="left", zone="lower")
    assert prompt_from_findings([edit]).text == "left lower lung opacity"
    assert describe([edit]) == "add left lower lung opacity"


@settings(derandomize=True)
@given(
    st.sampled_from(SIDED),
    st.sampled_from(["left", "both"]),
    st.sampled_from([None, "upper", "mid", "lower", "apical", "costophrenic", "perihilar",
                     "retrocardiac", "lateral_rim"]),
    st.sampled_from([None, 0.25, 0.5, 0.9]),
)  # fmt: skip
def test_words_of_a_finding_are_read_back_as_that_finding(name, side, zone, severity) -> None:
    edit = FindingEdit(name, side=side, zone=zone, severity=severity)
    written = prompt_from_findings([edit])
    (back,) = parse_prompt(written.text).findings
    assert (back.finding, back.side, back.zone, back.severity) == (name, side, zone, severity)
    assert back.span[1] == written.findings[0].span[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("moderate left pleural effusion", "add moderate left pleural effusion"),
        ("no cardiomegaly", "remove cardiomegaly"),
        ("improved edema", "reduce pulmonary edema"),
        ("worse right effusion", "worsen right pleural effusion"),
        ("RUL nodule and no ptx", "add right upper lung nodule; remove pneumothorax"),
    ],
)
def test_description_is_in_canonical_words(text: str, words: str) -> None:
    assert describe(parse_prompt(text).findings) == words


def test_description_never_repeats_the_users_own_words() -> None:
    edit = FindingEdit("mass", phrase="Mr Smith's mass")
    assert "Smith" not in describe([edit])
