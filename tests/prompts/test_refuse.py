# SPDX-License-Identifier: Apache-2.0
"""What the parser refuses, with which code and hint; and that nothing else ever happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import VOCABULARY
from monai_cxr_cf.prompts.parse import parse_prompt, parsed_from_findings
from monai_cxr_cf.prompts.words import lexicon
from monai_cxr_cf.request import FindingEdit
from tests.fuzz import examples

REFUSED = {
    "": "empty_prompt",
    "  \n": "empty_prompt",
    "no acute cardiopulmonary process": "no_finding",
    "normal chest radiograph": "no_finding",
    "clear lungs": "no_finding",
    "left lower lobe": "no_finding",
    "pnuemothorax": "unknown_finding",
    "left effusion and dragons": "unknown_finding",
    "heart": "unknown_finding",
    "pericardial effusion": "unknown_finding",
    "subcutaneous emphysema": "unknown_finding",
    "no effusion, no widened mediastinum": "unknown_finding",
    "effusion or pneumothorax": "ambiguous_prompt",
    "no effusion, left pneumothorax": "ambiguous_prompt",
    "no worsening edema": "ambiguous_prompt",
    "effusion but no effusion": "contradictory_prompt",
    "no left effusion and effusion, or nodule, but right and left effusion": "contradictory_prompt",
    "apical cardiomegaly": "contradictory_prompt",
    "left middle lobe opacity": "contradictory_prompt",
    "right lingular opacity": "contradictory_prompt",
    "right retrocardiac opacity": "contradictory_prompt",
    "stable cardiomegaly": "nothing_to_edit",
    "effusion is unchanged": "nothing_to_edit",
}


@pytest.mark.parametrize(("text", "code"), REFUSED.items(), ids=[f"<{t}>" for t in REFUSED])
def test_refused_with_a_hint(text: str, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_prompt(text)
    assert caught.value.code == code
    assert caught.value.hint


def test_unknown_finding_names_the_word_and_its_neighbours() -> None:
    with pytest.raises(BadRequest) as caught:
        parse_prompt("moderate left plueral effusion")
    assert "'plueral'" in caught.value.message
    assert "pleural effusion" in caught.value.message


def test_too_long_and_too_many_are_refused() -> None:
    with pytest.raises(BadRequest, match="characters"):
        parse_prompt("effusion " * 200)
    with pytest.raises(BadRequest, match="limit is 8"):
        parse_prompt(" and ".join(list(VOCABULARY)[:9]))


def test_the_last_that_fits_passes() -> None:
    assert len(parse_prompt("effusion".ljust(1000)).findings) == 1
    with pytest.raises(BadRequest, match="1001 characters"):
        parse_prompt("effusion".ljust(1001))
    assert len(parse_prompt(" and ".join(list(VOCABULARY)[:8])).findings) == 8


def test_a_normal_radiograph_and_no_finding_are_told_apart() -> None:
    with pytest.raises(BadRequest, match="describes a normal radiograph") as caught:
        parse_prompt("normal chest radiograph")
    assert "no cardiomegaly" in caught.value.hint
    with pytest.raises(BadRequest, match=r"^The prompt names no finding") as caught:
        parse_prompt("left lower lobe")
    assert all(name in caught.value.hint for name in VOCABULARY)


@pytest.mark.parametrize(
    "edit",
    [
        FindingEdit("dragon"),
        FindingEdit("mass", zone="middle earth"),
        FindingEdit("mass", side="top"),
        FindingEdit("mass", direction="invert"),
        FindingEdit("mass", severity=1.5),
        FindingEdit("mass", severity=float("nan")),
        FindingEdit("cardiomegaly", zone="apical"),
        FindingEdit("mass", side="right", zone="retrocardiac"),
    ],
)
def test_wrong_data_is_refused(edit: FindingEdit) -> None:
    with pytest.raises(BadRequest):
        parsed_from_findings([edit])


def test_no_data_and_contradicting_data_are_refused() -> None:
    with pytest.raises(BadRequest):
        parsed_from_findings([])
    with pytest.raises(BadRequest, match="both adds and removes"):
        parsed_from_findings([FindingEdit("mass"), FindingEdit("mass", direction="remove")])


@pytest.mark.parametrize(
    ("added", "removed", "meet"),
    [
        ((None, None), (None, None), True),
        (("left", None), ("left", None), True),
        (("left", None), ("right", None), False),
        (("left", None), (None, None), True),
        (("left", None), ("both", None), True),
        ((None, "lower"), (None, "lower"), True),
        ((None, "lower"), (None, None), True),
        ((None, "lower"), (None, "upper"), False),
        (("left", "lower"), ("both", "lower"), True),
        (("left", "lower"), ("right", "lower"), False),
        (("left", "lower"), ("left", "upper"), False),
        (("left", "lower"), ("left", None), True),
        (("left", "lower"), ("right", None), False),
    ],
)
def test_adding_and_removing_contradict_where_the_places_meet(added, removed, meet) -> None:
    """A place that is not said is every place: it meets all others."""
    for a, b in ((added, removed), (removed, added)):
        edits = [
            FindingEdit("lung opacity", side=a[0], zone=a[1]),
            FindingEdit("lung opacity", "remove", side=b[0], zone=b[1]),
        ]
        if meet:
            with pytest.raises(BadRequest) as caught:
                parsed_from_findings(edits)
            assert caught.value.code == "contradictory_prompt"
        else:
            assert len(parsed_from_findings(edits).findings) == 2
    worse = [FindingEdit("mass", "change"), FindingEdit("mass", "add", side="left")]
    assert len(parsed_from_findings(worse).findings) == 2


WORDS = sorted({" ".join(k) for k in lexicon()} | set(VOCABULARY) | {"heart", "dragon", "2.5"})


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join))
def test_any_order_of_known_words_is_parsed_or_refused(text: str) -> None:
    check_total(text)


@settings(max_examples=examples(200), deadline=None, derandomize=True)
@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    check_total(text)


def check_total(text: str) -> None:
    """Either a BadRequest with words, or findings whose spans cut their phrase from the text."""
    try:
        parsed = parse_prompt(text)
    except BadRequest:
        return
    assert parsed.findings
    assert parsed.text == text
    for f in parsed.findings:
        assert f.finding in VOCABULARY
        assert text[slice(*f.span)] == f.phrase != ""
        assert f.severity is None or 0 <= f.severity <= 1
