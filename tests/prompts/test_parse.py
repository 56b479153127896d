# SPDX-License-Identifier: Apache-2.0
"""Prompts to findings: what, where, how much, in what direction; and what is refused."""

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.findings import VOCABULARY
from monai_cxr_cf.prompts.parse import parse_prompt, parsed_from_findings
from monai_cxr_cf.prompts.words import lexicon
from monai_cxr_cf.request import FindingEdit

# prompt -> entries "direction finding|side|zone|severity"
ONE = {
    "moderate left pleural effusion": "add pleural effusion|left||0.5",
    "no cardiomegaly": "remove cardiomegaly|||",
    "without left effusion": "remove pleural effusion|left||",
    "resolved edema": "remove pulmonary edema|||",
    "edema has resolved": "remove pulmonary edema|||",
    "effusion is no longer seen": "remove pleural effusion|||",
    "pneumothorax: none": "remove pneumothorax|||",
    "worse right effusion": "change pleural effusion|right||",
    "worsening moderate oedema": "change pulmonary edema|||0.5",
    "slightly larger heart": "change cardiomegaly|||0.25",
    "smaller heart": "remove cardiomegaly|||0.5",
    "normal heart size": "remove cardiomegaly|||",
    "heart is not enlarged": "remove cardiomegaly|||",
    "improved edema": "remove pulmonary edema|||0.5",
    "markedly improved edema": "remove pulmonary edema|||0.9",
    "mildly decreased severe left effusion": "remove pleural effusion|left||0.25",
    "partially resolved effusion": "remove pleural effusion|||0.5",
    "completely resolved effusion": "remove pleural effusion|||",
    "small bilateral pleural effusions": "add pleural effusion|both||0.25",
    "left and right effusions": "add pleural effusion|both||",
    "bilateral effusions, left greater than right": "add pleural effusion|both||",
    "enlarged heart": "add cardiomegaly|||",
    "the heart is mildly enlarged": "add cardiomegaly|||0.25",
    "enlargement of the cardiac silhouette": "add cardiomegaly|||",
    "massive cardiomegaly": "add cardiomegaly|||1.0",
    "left lower lobe consolidation": "add consolidation|left|lower|",
    "LLL consolidation": "add consolidation|left|lower|",
    "consolidation in the left lower lobe": "add consolidation|left|lower|",
    "right middle lobe pneumonia": "add pneumonia|right|mid|",
    "middle lobe pneumonia": "add pneumonia|right|mid|",
    "lingular opacity": "add lung opacity|left|mid|",
    "retrocardiac opacity": "add lung opacity||retrocardiac|",
    "opacity behind the heart": "add lung opacity||retrocardiac|",
    "left retrocardiac opacity in the lower lobe": "add lung opacity|left|retrocardiac|",
    "blunting of the left costophrenic angle": "add pleural effusion|left|costophrenic|",
    "sharp costophrenic angles": "remove pleural effusion|||",
    "perihilar haziness": "add lung opacity||perihilar|",
    "bibasilar atelectasis": "add atelectasis|both|lower|",
    "atelectasis at the left base": "add atelectasis|left|lower|",
    "opacities in both lung bases": "add lung opacity|both|lower|",
    "tiny right apical pneumothorax": "add pneumothorax|right|apical|0.25",
    "biapical scarring": "add fibrosis|both|apical|",
    "small to moderate right effusion": "add pleural effusion|right||0.375",
    "large right-sided tension pneumothorax": "add pneumothorax|right||0.9",
    "trace pleural fluid": "add pleural effusion|||0.25",
    "1.5 cm nodule in the left upper lobe": "add nodule|left|upper|",
    "RUL mass": "add mass|right|upper|",
    "patchy ground-glass opacities": "add lung opacity|||",
    "hiatal hernia": "add hiatal hernia|||",
    "Severe   Pulmonary\tOEDEMA!": "add pulmonary edema|||0.9",
    "moderate pulmonary œdema": "add pulmonary edema|||0.5",
    "left rib fractures": "add rib fracture|left||",
    "add a nodule to the right mid lung": "add nodule|right|mid|",
    "remove the left effusion": "remove pleural effusion|left||",
    "PTB in the right upper field": "add tuberculosis|right|upper|",
    "normal chest except for small left effusion": "add pleural effusion|left||0.25",
    "lungs are clear without effusion": "remove pleural effusion|||",
    "left cardiomegaly": "add cardiomegaly|||",
}

SEVERAL = {
    "bibasilar opacities and a right apical pneumothorax": [
        "add lung opacity|both|lower|", "add pneumothorax|right|apical|"],
    "no effusion or pneumothorax": ["remove pleural effusion|||", "remove pneumothorax|||"],
    "neither effusion nor pneumothorax": ["remove pleural effusion|||", "remove pneumothorax|||"],
    "no effusion, pneumothorax, or large consolidation": [
        "remove pleural effusion|||", "remove pneumothorax|||", "remove consolidation|||"],
    "no effusion, small nodule, or mass": [
        "remove pleural effusion|||", "remove nodule|||", "remove mass|||"],
    "no effusion, moderate cardiomegaly": [
        "remove pleural effusion|||", "add cardiomegaly|||0.5"],
    "no effusion and a small nodule": ["remove pleural effusion|||", "add nodule|||0.25"],
    "no effusion but cardiomegaly": ["remove pleural effusion|||", "add cardiomegaly|||"],
    "No pleural effusion. Right pneumothorax.": [
        "remove pleural effusion|||", "add pneumothorax|right||"],
    "pneumonia without effusion": ["add pneumonia|||", "remove pleural effusion|||"],
    "remove the effusion and the nodule": ["remove pleural effusion|||", "remove nodule|||"],
    "remove the left effusion and add a right pneumothorax": [
        "remove pleural effusion|left||", "add pneumothorax|right||"],
    "effusion and edema have resolved": [
        "remove pleural effusion|||", "remove pulmonary edema|||"],
    "cardiomegaly, and the effusion has resolved": [
        "add cardiomegaly|||", "remove pleural effusion|||"],
    "right lower and left upper lobe opacities": [
        "add lung opacity|right|lower|", "add lung opacity|left|upper|"],
    "opacities in the right lower lobe and left upper lobe and a small effusion": [
        "add lung opacity|right|lower|", "add lung opacity|left|upper|",
        "add pleural effusion|||0.25"],
    "right effusion, left lower and upper lobe opacities": [
        "add pleural effusion|right||", "add lung opacity|left|lower|",
        "add lung opacity|left|upper|"],
    "left effusion and atelectasis": ["add pleural effusion|left||", "add atelectasis|left||"],
    "left effusion and edema": ["add pleural effusion|left||", "add pulmonary edema|||"],
    "consolidation and effusion on the left": [
        "add consolidation|left||", "add pleural effusion|left||"],
    "left lower lobe atelectasis and consolidation": [
        "add atelectasis|left|lower|", "add consolidation|left|lower|"],
    "left effusion and right effusion": [
        "add pleural effusion|left||", "add pleural effusion|right||"],
    "no left effusion but a right effusion": [
        "remove pleural effusion|left||", "add pleural effusion|right||"],
    "cardiomegaly with mild pulmonary edema and small bilateral effusions": [
        "add cardiomegaly|||", "add pulmonary edema|||0.25", "add pleural effusion|both||0.25"],
    "no acute process or effusion, mild cardiomegaly": [
        "remove pleural effusion|||", "add cardiomegaly|||0.25"],
    "nodule in the right lung without effusion": [
        "add nodule|right||", "remove pleural effusion|||"],
    "nodule in the right lung without left or right effusion": [
        "add nodule|right||", "remove pleural effusion|both||"],
    "effusion resolved without pneumothorax": [
        "remove pleural effusion|||", "remove pneumothorax|||"],
    "left effusion, moderate, and cardiomegaly": [
        "add pleural effusion|left||0.5", "add cardiomegaly|||"],
    "pneumothorax right apical and left effusion": [
        "add pneumothorax|right|apical|", "add pleural effusion|left||"],
    "no focal consolidation, pleural effusion, or pneumothorax": [
        "remove consolidation|||", "remove pleural effusion|||", "remove pneumothorax|||"],
    "no effusion nor edema": ["remove pleural effusion|||", "remove pulmonary edema|||"],
    "no effusion, new nodule": ["remove pleural effusion|||", "add nodule|||"],
    "larger heart and effusion": ["change cardiomegaly|||", "add pleural effusion|||"],
}  # fmt: skip


def short(edit: FindingEdit) -> str:
    """An entry in the notation of the tables above."""
    severity = "" if edit.severity is None else edit.severity
    return f"{edit.direction} {edit.finding}|{edit.side or ''}|{edit.zone or ''}|{severity}"


@pytest.mark.parametrize(("text", "expected"), ONE.items(), ids=ONE)
def test_one_finding(text: str, expected: str) -> None:
    parsed = parse_prompt(text)
    assert [short(f) for f in parsed.findings] == [expected]
    assert parsed.mode == ("remove" if expected.startswith("remove") else "add")


@pytest.mark.parametrize(("text", "expected"), SEVERAL.items(), ids=SEVERAL)
def test_several_findings(text: str, expected: list[str]) -> None:
    parsed = parse_prompt(text)
    assert [short(f) for f in parsed.findings] == expected
    removals = {line.startswith("remove") for line in expected}
    assert parsed.mode == (
        "mixed" if len(removals) > 1 else "remove" if True in removals else "add"
    )


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("moderate left pleural effusion", ["pleural effusion"]),
        ("bibasilar opacities and a right apical pneumothorax", ["opacities", "pneumothorax"]),
        ("  Severe Pulmonary ŒDEMA  ", ["Pulmonary ŒDEMA"]),
        ("cafe\u0301-free? no: left e\u0301ffusion", None),
        ("left e\u0301ffusion", ["e\u0301ffusion"]),
        ("opacity in the left upper lobe, small", ["opacity"]),
        ("patchy ground-glass opacities", ["ground-glass opacities"]),
        ("cardiac silhouette is severely enlarged", ["cardiac silhouette"]),
        ("effusion on the left and effusion on the right", ["effusion", "effusion"]),
    ],
)
def test_span_is_the_noun_phrase_in_the_original_text(text: str, phrases) -> None:
    if phrases is None:
        with pytest.raises(BadRequest):
            parse_prompt(text)
        return
    found = parse_prompt(text).findings
    assert [f.phrase for f in found] == phrases
    assert [text[slice(*f.span)] for f in found] == phrases


def test_span_never_holds_place_or_severity_words() -> None:
    place = {k[0] for k, v in lexicon().items() if len(k) == 1 and v[0].kind in ("side", "zone")}
    for text in (*ONE, *SEVERAL):
        for f in parse_prompt(text).findings:
            words = set(f.phrase.casefold().split())
            if f.direction == "remove":  # its words serve no prompt: "sharp costophrenic angles"
                continue
            assert not words & place, text
            assert not words & {"moderate", "small", "severe", "mild", "mildly", "tiny"}, text


def test_what_was_read_into_the_words_is_noted() -> None:
    assert "midline" in parse_prompt("left cardiomegaly").notes[0]
    assert "atelectasis" in parse_prompt("left effusion and atelectasis").notes[0]
    assert "twice" in parse_prompt("effusion and pleural effusion").notes[0]
    assert parse_prompt("left effusion").notes == ()


@pytest.mark.parametrize("name", VOCABULARY)
def test_every_phrase_of_the_vocabulary_parses_to_its_finding(name: str) -> None:
    finding = VOCABULARY[name]
    for direction, texts in (
        ("add", finding.phrases),
        ("change", finding.worse_as),
        ("remove", finding.better_as + finding.absent_as),
    ):
        for text in texts:
            found = parse_prompt(text).findings
            assert [(f.finding, f.direction) for f in found] == [(name, direction)], text


@pytest.mark.parametrize("name", VOCABULARY)
def test_every_finding_can_be_removed(name: str) -> None:
    for template in ("no {}", "without {}", "resolved {}", "remove the {}", "{} has resolved"):
        (edit,) = parse_prompt(template.format(name)).findings
        assert (edit.finding, edit.direction, edit.severity) == (name, "remove", None)


def test_findings_given_as_data_are_checked_and_put_into_words() -> None:
    given_ = [FindingEdit("effusions", side="left", severity=0.5), FindingEdit("cardiomegaly")]
    parsed = parsed_from_findings(given_)
    assert parsed.text == "moderate left pleural effusion and cardiomegaly"
    assert [f.finding for f in parsed.findings] == ["pleural effusion", "cardiomegaly"]
    assert [parsed.text[slice(*f.span)] for f in parsed.findings] == [
        "pleural effusion", "cardiomegaly"]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "bilateral effusions, left greater than right",
            "the sides of pleural effusion are compared; both were read with the same degree",
        ),
        ("lungs clear, heart enlarged", "'clear' names no finding; nothing was changed for it"),
        (
            "no effusion or other acute process",
            "'acute process' names no finding; nothing was changed for it",
        ),
    ],
)
def test_words_that_change_nothing_are_named_in_the_notes(text: str, note: str) -> None:
    assert parse_prompt(text).notes == (note,)


@pytest.mark.parametrize(
    ("prompt", "unused"),
    [
        ("effusion 3/10", ["3", "10"]),
        ("effusion 7 of 10", ["7", "10"]),
        ("left effusion 90", ["90"]),
        ("2 nodules", ["2"]),
        ("1) left effusion 2) cardiomegaly", []),
        ("moderate left effusion", []),
    ],
)
def test_a_number_that_was_not_used_is_named(prompt: str, unused: list[str]) -> None:
    numbers = [note for note in parse_prompt(prompt).notes if note.startswith("the number")]
    assert numbers == [f"the number {number} was not used" for number in unused]
