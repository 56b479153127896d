# SPDX-License-Identifier: Apache-2.0
"""``--method``: what the command line, a request and a backbone's kind allow."""

import json

import pytest

from monai_cxr_cf.catalogue.table import TABLE
from monai_cxr_cf.cli import main
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs.networks import Networks

ASKED = {"source": "x.dcm", "prompt": "left pleural effusion"}


def test_info_methods_lists_every_row(capsys) -> None:
    assert main(["info", "methods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == list(TABLE)
    assert main(["info", "methods"]) == 0
    told = capsys.readouterr().out
    assert all(row.about in told for row in TABLE.values())


def test_a_request_without_a_method_is_the_same_request_as_before() -> None:
    assert "method" not in EditRequest(**ASKED).canonical_json()
    named = from_json({**ASKED, "method": "regulated", "method_settings": {}})
    assert named.canonical_json() == EditRequest(**ASKED).canonical_json()


def test_equal_settings_are_one_request_whatever_their_type() -> None:
    asked = {**ASKED, "method": "sd_inpaint"}
    one, other = ({**asked, "method_settings": {"guidance": v}} for v in (5, 5.0))
    assert from_json(one).hash() == from_json(other).hash()
    assert from_json(one).hash() != from_json(asked).hash()


def test_a_strength_is_the_method_s_own() -> None:
    request = EditRequest(**ASKED, method="sd_inpaint", strength=0.5)
    assert request.choice().settings.strength == 0.5
    assert request.config().start.strength == 0.5


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"method": "gan"}, "Unknown method 'gan'"),
        ({"method": "sd_inpaint", "method_settings": {"beta": 1}}, "'beta' is no setting"),
        ({"method_settings": {"steps": 3}}, "'steps' is no setting of 'regulated'"),
        (
            {"method": "sd_inpaint", "overrides": {"boost": {"eta": 2}}},
            r"boost\.eta means nothing to the method 'sd_inpaint'",
        ),
        (
            {"method": "sdedit", "overrides": {"output": {"roi_crop": 384}}},
            r"output\.roi_crop means nothing to the method 'sdedit'",
        ),
        (
            {"method": "sd_inpaint", "levels": [0.5], "levels_by": "guidance"},
            "Levels of 'sd_inpaint' cannot be sampled by guidance",
        ),
    ],
)
def test_what_a_method_cannot_do_is_refused(more, words) -> None:
    with pytest.raises(BadRequest, match=words):
        from_json({**ASKED, **more})


def test_dials_that_hold_for_every_method_are_let_through() -> None:
    common = {
        "output": {"composite": "none"},
        "keep": {"band_px": 4},
        "tokens": {"source": "empty"},
    }
    config = EditRequest(**ASKED, method="sd_inpaint", overrides=common).config()
    assert (config.output.composite, config.keep.band_px) == ("none", 4)


def test_the_kind_of_a_folder_is_refused_before_its_weights_are_read(tmp_path) -> None:
    folder = tmp_path / "nine" / "unet"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"in_channels": 9}))
    networks = Networks(models=tmp_path)
    networks.check_kind("nine", TABLE["sd_inpaint"])
    with pytest.raises(BadRequest, match=r"'regulated' edits with a UNet of 4 .* 'nine' has 9\."):
        networks.check_kind("nine", TABLE["regulated"])
    networks.check_kind("nowhere", TABLE["regulated"])  # the loader says what is missing


def test_pairs_are_asked_for(capsys) -> None:
    flags = ["--prompt", "edema", "--method", "sd_inpaint", "--method-set", "steps", "--out", "o"]
    assert main(["edit", "x.dcm", *flags]) == 2
    assert "--method-set steps is not KEY=VALUE" in capsys.readouterr().err
