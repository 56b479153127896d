# SPDX-License-Identifier: Apache-2.0
"""Lines differ from what they are compared with in one law, and data can add further ones."""

import json
from pathlib import Path

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.edits.protocol import Settings
from monai_cxr_cf.evaluation.frontier.lines import (
    ALL,
    MORE,
    NONE,
    NOT_LAWS,
    all_lines,
    laws,
    read_more,
    select_lines,
)
from monai_cxr_cf.presets import SWITCHES, preset


def test_every_law_that_has_a_switch_is_taken_away_once_and_stands_alone_once() -> None:
    lines = {line.name: line for line in all_lines()}
    assert set(laws()) == set(SWITCHES) - set(NOT_LAWS)
    for switch, law in laws().items():
        missing, alone = lines[f"without {law}"], lines[f"{law} alone"]
        assert set(missing.switches) - set(lines[missing.against].switches) == {switch}
        assert set(lines[alone.against].switches) - set(alone.switches) == {switch}
        assert (missing.lacks, alone.lacks) == (True, False)
    assert (lines[NONE].against, lines[NONE].lacks) == (ALL, True)
    assert set(MORE) <= set(lines)


def test_a_line_gives_the_presets_settings_with_guidance_and_without_paste() -> None:
    base = Settings(preset="fast", overrides={"boost": {"eta": 9.0}})
    for line in all_lines():
        for guidance in (None, 12.0):
            config = preset("fast").with_overrides(line.settings(base, guidance).merged())
            assert config.keep.paste is False
            assert config.output.composite == "none"
            assert config.sampling.guidance_scale == (guidance or 7.5)
            own = line.overrides.get("boost", {}).get("eta", 9.0)
            assert config.boost.eta == (0.0 if "no-boost" in line.switches else own)


def test_lines_are_picked_by_name_with_what_they_are_compared_with() -> None:
    assert [line.name for line in select_lines(["Eq. 6 alone"])] == [ALL, NONE, "Eq. 6 alone"]
    assert [line.name for line in select_lines([ALL])] == [ALL]
    assert select_lines([]) == all_lines()
    with pytest.raises(BadRequest, match=r"'Eq\. 77'"):
        select_lines(["Eq. 77"])


def test_a_file_adds_lines_and_what_is_wrong_in_it_is_said(tmp_path: Path) -> None:
    file = tmp_path / "more.json"
    file.write_text(json.dumps({"strong": {"boost": {"eta": 9}}}))
    assert read_more(file) == {**MORE, "strong": {"boost": {"eta": 9}}}
    assert [line.name for line in select_lines(["strong"], read_more(file))] == [ALL, "strong"]
    assert read_more(None) == MORE
    wrong = [
        ("{", "no lines that could be read"),
        ("[1]", "no lines that could be read"),
        ('{"strong": 9}', "no lines that could be read"),
        ('{"all laws": {}}', "'all laws' is the name"),
        ('{"strong": {"boost": {"magic": 1}}}', "boost.magic"),
        ('{"strong": {"boost": {"eta": -1}}}', "boost.eta is -1"),
    ]
    for text, said in wrong:
        file.write_text(text)
        with pytest.raises(BadRequest, match=said):
            read_more(file)
