# SPDX-License-Identifier: Apache-2.0
"""Switches as command lines write them: understood, or refused; never reversed."""

from typing import Any

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.request import from_json
from monai_cxr_cf.transforms import LoadCXRDicomd, WriteCounterfactuald
from monai_cxr_cf.transforms.items import cleaned, switch

READ = [
    (True, True), (False, False), ("true", True), ("false", False), ("True", True),
    ("False", False), ("TRUE", True), ("FALSE", False), ("tRuE", True), (1, True), (0, False),
    (1.0, True), (0.0, False), (None, False), ("", False),
]  # fmt: skip
REFUSED = ["no", "yes", "on", "off", "0", "1", "none", "falsch", " false", "f", 2, -1, 0.5, [], {}]


@pytest.mark.parametrize(("written", "meant"), READ, ids=repr)
def test_a_switch_is_what_it_says(written: Any, meant: bool) -> None:
    assert switch("overwrite", written) is meant
    assert WriteCounterfactuald("image", overwrite=written).overwrite is meant
    assert LoadCXRDicomd("image", {"allow_raster": written}).reading.allow_raster is meant


@pytest.mark.parametrize("written", REFUSED, ids=repr)
def test_any_other_word_is_refused_by_the_switch_s_name(written: Any) -> None:
    with pytest.raises(BadRequest, match=r"overwrite is .* expected true or false"):
        switch("overwrite", written)
    with pytest.raises(BadRequest, match="allow_lateral is"):
        LoadCXRDicomd("image", {"allow_lateral": written})


# where in a request -> what is read there
DIALS = [
    ({"burn_in": "true"}, lambda r: r.burn_in, True),
    ({"burn_in": "false"}, lambda r: r.burn_in, False),
    ({"sham": "TRUE"}, lambda r: r.sham, True),
    ({"reading": {"allow_raster": "true"}}, lambda r: r.reading.allow_raster, True),
    ({"reading": {"allow_lateral": "False"}}, lambda r: r.reading.allow_lateral, False),
    ({"reading": {"ignore_voi": "True"}}, lambda r: r.reading.ignore_voi, True),
    ({"overrides": {"gate": {"renorm": "false"}}}, lambda r: r.config().gate.renorm, False),
    ({"overrides": {"boost": {"renorm": "true"}}}, lambda r: r.config().boost.renorm, True),
    ({"overrides": {"keep": {"paste": "False"}}}, lambda r: r.config().keep.paste, False),
    (
        {"overrides": {"tokens": {"regional_prompt": "false"}}},
        lambda r: r.config().tokens.regional_prompt,
        False,
    ),
    (
        {"overrides": {"correct": {"truncated": "false"}}},
        lambda r: r.config().correct.truncated,
        False,
    ),
    ({"negative_prompt": "false"}, lambda r: r.negative_prompt, "false"),  # words stay words
    ({"source_prompt": "True"}, lambda r: r.source_prompt, "True"),
    ({"seeds": 3}, lambda r: r.seeds, (3,)),
    ({"levels": 0.5}, lambda r: r.levels, (0.5,)),
]


@pytest.mark.parametrize(("fields", "read", "meant"), DIALS, ids=[str(row[0]) for row in DIALS])
def test_switches_of_a_request_are_read_wherever_they_stand(
    fields: dict[str, Any], read: Any, meant: Any
) -> None:
    request = from_json({"source": "x.dcm", "prompt": "edema", **cleaned(fields)})
    assert read(request) == meant
    assert type(read(request)) is type(meant)


@pytest.mark.parametrize("word", ["yes", "no", "on", "1"])
def test_another_word_in_a_request_is_refused(word: str) -> None:
    with pytest.raises(BadRequest, match="burn_in"):
        from_json({"source": "x.dcm", "prompt": "edema", **cleaned({"burn_in": word})})


def test_findings_listed_on_a_command_line_stay_one_prompt() -> None:
    assert cleaned({"prompt": ("edema", "effusion")})["prompt"] == "edema, effusion"
