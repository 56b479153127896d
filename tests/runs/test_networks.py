# SPDX-License-Identifier: Apache-2.0
"""What a backbone's folder says of itself: which tokens carry a finding."""

import json
from pathlib import Path

import pytest

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.runs.networks import CENSUS, Networks


def test_a_backbone_without_a_census_is_taken_as_every_causal_encoder_is(tmp_path: Path) -> None:
    assert Networks(models=tmp_path).carrier("x") == "finding+eos"


def test_a_census_beside_the_weights_says_who_carries_a_finding(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for part in tiny_folder.iterdir():
        (folder / part.name).symlink_to(part)
    networks = Networks(models=tmp_path)
    files = dict(networks.backbone("mine").files)
    (folder / CENSUS).write_text(json.dumps({"carrier": "finding", "files": files}))
    assert networks.carrier("mine") == networks.carrier(str(folder)) == "finding"
    (folder / CENSUS).write_text(json.dumps({"carrier": "finding", "files": {}}))
    with pytest.raises(BadRequest, match="is of other weights"):
        networks.carrier("mine")
    (folder / CENSUS).write_text(json.dumps({"carrier": "verbs", "files": files}))
    with pytest.raises(BadRequest, match="has no answer"):
        networks.carrier("mine")
