# SPDX-License-Identifier: Apache-2.0
"""What a backbone's folder says of itself: which tokens carry a finding."""

import json
from pathlib import Path

import pytest

from monai_cxr_cf.calibration import FILE
from monai_cxr_cf.case import words
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.pipeline import configure
from monai_cxr_cf.presets import EditConfig
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs.networks import CENSUS, Networks

ADD = "left pleural effusion"


def configured(request: EditRequest, networks: Networks) -> EditConfig:
    """The settings in force."""
    return configure(request, words(request), networks)[0]


def linked(tiny_folder: Path, models: Path) -> tuple[Path, Networks, dict[str, str]]:
    """A folder of links to the tiny backbone, called mine; networks that know it; its hashes."""
    folder = models / "mine"
    folder.mkdir()
    for part in tiny_folder.iterdir():
        (folder / part.name).symlink_to(part)
    networks = Networks(models=models)
    return folder, networks, dict(networks.backbone("mine").files)


def test_a_backbone_without_a_census_is_taken_as_every_causal_encoder_is(tmp_path: Path) -> None:
    assert Networks(models=tmp_path).carrier("x") == "finding+eos"


def test_a_census_beside_the_weights_says_who_carries_a_finding(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder, networks, files = linked(tiny_folder, tmp_path)
    (folder / CENSUS).write_text(json.dumps({"carrier": "finding", "files": files}))
    assert networks.carrier("mine") == networks.carrier(str(folder)) == "finding"
    (folder / CENSUS).write_text(json.dumps({"carrier": "finding", "files": {}}))
    with pytest.raises(BadRequest, match="is of other weights"):
        networks.carrier("mine")
    for nothing in (json.dumps({"carrier": "verbs", "files": files}), "[]", "{"):
        (folder / CENSUS).write_text(nothing)
        with pytest.raises(BadRequest, match="has no answer"):
            networks.carrier("mine")


AUTO = {"tokens": {"carrier": "auto"}}


def test_an_open_carrier_becomes_what_the_census_says(tiny_folder: Path, tmp_path: Path) -> None:
    folder, networks, files = linked(tiny_folder, tmp_path)

    def carrier(**more) -> str:
        asked = from_json(
            {"source": "x.dcm", "prompt": ADD, "backbone": "mine", "overrides": AUTO, **more}
        )
        return configured(asked, networks).tokens.carrier

    assert carrier() == "finding+eos"
    for told in ("finding", "finding+eos"):
        (folder / CENSUS).write_text(json.dumps({"carrier": told, "files": files}))
        assert carrier() == carrier(sham=True) == carrier(preset="paper") == told
    (folder / CENSUS).write_text(json.dumps({"carrier": "finding", "files": {}}))
    assert carrier(overrides={"tokens": {"carrier": "finding+eos"}}) == "finding+eos"
    with pytest.raises(BadRequest) as stale:
        carrier()
    assert stale.value.message == "census.json of the backbone is of other weights."
    assert stale.value.hint == (
        "Make it anew (cxr-cf evaluate attention --help), or say the carrier: "
        "finding or finding+eos."
    )


def test_a_calibration_may_leave_the_carrier_to_the_census(tmp_path: Path) -> None:
    made = {"presets": {"default": AUTO}}
    (folder := tmp_path / "mine").mkdir()
    (folder / FILE).write_text(json.dumps(made))
    request = EditRequest(source="x.dcm", prompt=ADD, backbone=str(folder))
    assert configured(request, Networks(models=tmp_path)).tokens.carrier == "finding+eos"
