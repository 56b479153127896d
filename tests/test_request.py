# SPDX-License-Identifier: Apache-2.0
"""A request: what it accepts and refuses, its identity; its dials and what these rest on."""

import json
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import DEFAULT, PRESETS, SWITCHES, EditConfig, preset
from monai_cxr_cf.request import EditRequest, FindingEdit, from_json, schema
from monai_cxr_cf.runs.facts import GROUNDS
from tests.house.test_signposts import NUMBERED

MINIMAL = {"source": "x.dcm", "prompt": "cardiomegaly"}
FRONTIER = "docs/cxr-mini/frontier.md"
LINES = {  # of the page's first table -> the dial, and its value with the law
    "Eq. 5": ("gate.mode", "partition"),
    "regional prompt": ("tokens.regional_prompt", True),
    "regional guidance": ("sampling.guidance_map", "region"),
    "with Eq. 6": ("boost.eta", 1.5),
    "with Eq. 6 on end tokens": ("tokens.carrier", "finding+eos"),
    "with Eq. 9": ("correct.alpha_max", 0.05),
    "with an empty source text": ("tokens.source", "empty"),
}


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_schema_and_dataclasses_name_the_same_fields() -> None:
    properties = schema()["properties"]
    assert set(properties) == {f.name for f in fields(EditRequest)}
    assert set(properties["reading"]["properties"]) == {f.name for f in fields(ReadOptions)}
    finding = properties["findings"]["items"]["properties"]
    assert set(finding) == {f.name for f in fields(FindingEdit)}


def test_how_levels_are_made_belongs_to_the_identity() -> None:
    blend, guidance = (
        from_json({**MINIMAL, "levels": [0.5], "levels_by": by}) for by in ("blend", "guidance")
    )
    assert blend == from_json({**MINIMAL, "levels": [0.5]})
    assert "levels_by" not in blend.canonical_json()
    assert guidance.hash() != blend.hash()
    with pytest.raises(BadRequest, match="levels_by is guidance, and no level is named"):
        from_json({**MINIMAL, "levels_by": "guidance"})


def test_minimal_request_gets_the_defaults() -> None:
    request = from_json(MINIMAL)
    assert (request.preset, request.iod, request.uids) == ("default", "sc", "stable")
    assert request.config() == PRESETS["default"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": "x"},
        {"source": "x.dcm"},
        {**MINIMAL, "findings": [{"finding": "mass"}]},
        {**MINIMAL, "colour": "red"},
        {**MINIMAL, "version": 2},
        {**MINIMAL, "preset": "best"},
        {**MINIMAL, "strength": 1.5},
        {**MINIMAL, "levels": [2]},
        {**MINIMAL, "levels": [0.5], "levels_by": "words"},
        {**MINIMAL, "levels_by": "guidance"},
        {**MINIMAL, "seeds": [-1]},
        {**MINIMAL, "seeds": [True, "a"]},
        {**MINIMAL, "prompt": "   "},
        {**MINIMAL, "reading": {"force": True}},
        {**MINIMAL, "overrides": {"boost": {"gain": 2}}},
        {**MINIMAL, "overrides": {"boast": {"eta": 2}}},
        {**MINIMAL, "overrides": {"boost": {"eta": -1}}},
        {**MINIMAL, "overrides": {"boost": {"eta": "2"}}},
        {**MINIMAL, "overrides": {"boost": {"renorm": 1}}},
        {**MINIMAL, "overrides": {"sampling": {"steps": 2.5}}},
        {**MINIMAL, "overrides": {"gate": {"levels": [4]}}},
        {**MINIMAL, "overrides": {"gate": {"mode": "best"}}},
        [],
        None,
        "x.dcm",
    ],
)
def test_wrong_requests_are_refused_with_a_typed_error(wrong: object) -> None:
    with pytest.raises(BadRequest) as caught:
        from_json(wrong)
    assert caught.value.exit_code == 2
    assert caught.value.message


def test_not_a_number_is_refused() -> None:
    with pytest.raises(BadRequest):
        from_json({**MINIMAL, "overrides": {"boost": {"eta": float("nan")}}})


def test_json_survives_the_round_trip() -> None:
    request = from_json(
        {
            "source": "a b.dcm",
            "findings": [{"finding": "pleural effusion", "side": "left", "severity": 0.5}],
            "levels": [0.25, 1],
            "seeds": [1, 2],
            "overrides": {"boost": {"eta": 2}},
            "reading": {"allow_lateral": True},
        }
    )
    assert from_json(request.as_dict()) == request


def test_identity_ignores_paths_but_not_settings() -> None:
    here, there = from_json(MINIMAL), from_json({**MINIMAL, "source": "/elsewhere/y.dcm"})
    assert here.hash() == there.hash()
    assert from_json({**MINIMAL, "strength": 0.5}).hash() != here.hash()


def test_identity_is_the_same_said_or_unsaid() -> None:
    said = from_json({**MINIMAL, "preset": "default", "iod": "sc", "seeds": [], "overrides": {}})
    assert said.hash() == from_json(MINIMAL).hash()


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
def test_key_order_never_changes_the_identity(extra: dict[str, int]) -> None:
    prompt = {"prompt": "mass " + json.dumps(extra, sort_keys=True)}
    assert (
        from_json({"source": "x", **prompt}).hash() == from_json({**prompt, "source": "x"}).hash()
    )


def test_strength_is_shorthand_for_the_dial() -> None:
    config = from_json({**MINIMAL, "strength": 0.3}).config()
    assert config == PRESETS["default"].with_overrides({"start": {"strength": 0.3}})


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("base", PRESETS)
def test_a_switch_changes_at_most_its_own_field(name: str, base: str) -> None:
    before = preset(base).as_dict()
    after = preset(base).with_overrides(SWITCHES[name]).as_dict()
    ((part, values),) = SWITCHES[name].items()
    changed = {(p, k) for p in before for k in before[p] if before[p][k] != after[p][k]}
    assert changed <= {(part, key) for key in values}


@pytest.mark.parametrize(
    ("base", "name"),
    [
        *(("paper", name) for name in ("no-gate", "no-boost", "no-correction")),
        *(("default", name) for name in ("no-gate", "no-regional-guidance", "no-regional-prompt")),
    ],
)
def test_the_published_ablations_change_exactly_one_field(base: str, name: str) -> None:
    assert preset(base).with_overrides(SWITCHES[name]).hash() != preset(base).hash()


def test_every_dial_is_documented_and_bounded() -> None:
    for part in fields(EditConfig):
        for dial in fields(getattr(EditConfig(), part.name)):
            assert dial.metadata["help"], f"{part.name}.{dial.name}"
            if type(dial.default) in (int, float):
                low, high = dial.metadata["range"]
                assert low <= dial.default <= high


def test_presets_pass_their_own_checks() -> None:
    for config in PRESETS.values():
        assert EditConfig().with_overrides(config.as_dict()) == config


def test_errors_say_what_was_found_and_what_to_do() -> None:
    with pytest.raises(BadRequest, match=r"boost\.eta is 99.*0 to 20"):
        from_json({**MINIMAL, "overrides": {"boost": {"eta": 99}}})
    with pytest.raises(BadRequest, match="paper, default, fast"):
        preset("best")


@pytest.mark.parametrize(
    "words", [{}, {"prompt": "edema", "findings": (FindingEdit("edema"),)}, {"prompt": "  "}]
)
def test_a_request_needs_words_or_findings_and_not_both(words: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match="not both"):
        EditRequest(source="x.dcm", **words)


def test_whole_and_decimal_numbers_of_a_dial_are_one_request() -> None:
    whole, decimal = (
        EditRequest(
            source="x",
            prompt="edema",
            levels=(0.5, one),
            strength=one,
            overrides={"boost": {"eta": two}, "sampling": {"steps": 4}, "gate": {}},
        )
        for one, two in ((1, 2), (1.0, 2.0))
    )
    assert whole.hash() == decimal.hash()
    assert whole.as_dict()["overrides"] == {"boost": {"eta": 2.0}, "sampling": {"steps": 4}}


@pytest.mark.parametrize(
    ("part", "dial"),
    [
        *(("correct", "lagged"), ("correct", "keep_std")),
        *(("keep", "ilvr"), ("keep", "soft_map"), ("start", "auto_ssim")),
    ],
)
def test_a_dial_that_is_gone_is_refused_by_name(part: str, dial: str) -> None:
    with pytest.raises(BadRequest) as refused:
        EditRequest(source="x", prompt="edema", overrides={part: {dial: 0}})
    assert refused.value.message == f"Unknown setting '{part}.{dial}'."
    known = ", ".join(field.name for field in fields(getattr(EditConfig(), part)))
    assert refused.value.hint == f"Settings: {known}."


def test_the_dials_of_guidance_and_texts_come_through_a_request() -> None:
    chosen = {"sampling": {"guidance_map": "uniform"},
              "tokens": {"carrier": "finding+eos", "removal": "negative"}}  # fmt: skip
    config = from_json({**MINIMAL, "overrides": chosen}).config()
    assert config == PRESETS["default"].with_overrides(chosen)
    left = {"tokens": {"carrier": "auto"}}
    assert from_json({**MINIMAL, "overrides": left}).config().tokens.carrier == "auto"
    for part, wrong in (
        ("sampling", {"guidance_map": "no"}),
        ("tokens", {"eos_weight": 0.5}),
        ("tokens", {"carrier": "eos"}),
    ):
        with pytest.raises(BadRequest, match=next(iter(wrong))):
            from_json({**MINIMAL, "overrides": {part: wrong}}).config()


def named(page: str) -> list[str]:
    """The dials that rest on a page."""
    return GROUNDS[page].split(", ")


def test_every_dial_of_default_rests_on_one_page() -> None:
    parts = fields(EditConfig)
    dials = [f"{p.name}.{f.name}" for p in parts for f in fields(getattr(DEFAULT, p.name))]
    assert sorted(dial for page in GROUNDS for dial in named(page)) == sorted(dials)


@pytest.mark.parametrize("page", GROUNDS)
def test_the_page_and_its_section_exist(page: str, root: Path) -> None:
    name, _, section = page.partition(" ")
    text = (root / name).read_text(encoding="utf-8")
    assert not section or section in NUMBERED.findall(text)


def test_a_law_is_on_where_it_was_seen_to_pay_and_off_elsewhere(root: Path) -> None:
    assert sorted(named(FRONTIER)) == sorted(dial for dial, _ in LINES.values())
    table = (root / FRONTIER).read_text(encoding="utf-8").split("\n| setting |")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    verdicts = {cells[0].removeprefix("| "): cells[-1].removesuffix(" |") for cells in rows}
    for line, (dial, value) in LINES.items():
        part, _, key = dial.partition(".")
        acts = getattr(getattr(DEFAULT, part), key) == value
        assert acts == (verdicts[line] == "pays"), line
