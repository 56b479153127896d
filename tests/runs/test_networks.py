# SPDX-License-Identifier: Apache-2.0
"""Settings in force: the preset, what the backbone's folder says, what the request says."""

import json
from pathlib import Path

import pytest

from monai_cxr_cf.case import words
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.pipeline import configure
from monai_cxr_cf.presets import DEFAULT, PRESETS, EditConfig
from monai_cxr_cf.request import EditRequest, from_json
from monai_cxr_cf.runs.networks import CALIBRATION, CENSUS, Networks

ADD, REMOVE = "left pleural effusion", "no pleural effusion"
MIXED = "cardiomegaly but no left effusion"


def configured(request: EditRequest, networks: Networks) -> EditConfig:
    """The settings in force."""
    return configure(request, words(request), networks)


def settings(folder: Path, **fields) -> tuple[float, float, float]:
    """Strength, guidance and alpha in force."""
    request = EditRequest(source="x.dcm", backbone=str(folder), **fields)
    config = configured(request, Networks(models=folder.parent))
    return config.start.strength, config.sampling.guidance_scale, config.correct.alpha_max


@pytest.fixture
def calibrated(tmp_path: Path) -> Path:
    """A backbone folder with settings of its own."""
    made = {
        "presets": {"default": {"start": {"strength": 0.6}, "sampling": {"guidance_scale": 3.0}}},
        "removals": {"default": {"start": {"strength": 0.75}, "correct": {"alpha_max": 0.0}}},
    }
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / CALIBRATION).write_text(json.dumps(made))
    return folder


def test_without_a_file_the_preset_stands_as_published(tmp_path: Path) -> None:
    assert Networks(models=tmp_path).calibrated("x", "default") == DEFAULT
    assert settings(tmp_path / "x", prompt=ADD) == (0.7, 7.5, 0.0)
    assert settings(tmp_path / "x", prompt=REMOVE) == (0.85, 7.5, 0.0)
    assert settings(tmp_path / "x", prompt=MIXED) == (0.85, 7.5, 0.0)


def test_a_backbone_brings_settings_for_edits_and_on_top_for_removals(calibrated: Path) -> None:
    assert settings(calibrated, prompt=ADD) == (0.6, 3.0, 0.0)
    assert settings(calibrated, prompt=REMOVE) == (0.75, 3.0, 0.0)
    assert settings(calibrated, prompt=MIXED) == (0.75, 3.0, 0.0)


def test_a_finding_may_have_settings_of_its_own(calibrated: Path) -> None:
    made = json.loads((calibrated / CALIBRATION).read_text())
    made["findings"] = {
        "pleural effusion": {
            "presets": {"default": {"sampling": {"guidance_scale": 4.0}}},
            "removals": {"default": {"start": {"strength": 0.9}}},
        }
    }
    (calibrated / CALIBRATION).write_text(json.dumps(made))
    assert settings(calibrated, prompt=ADD) == (0.6, 4.0, 0.0)
    assert settings(calibrated, prompt=REMOVE) == (0.9, 4.0, 0.0)
    assert settings(calibrated, prompt="cardiomegaly") == (0.6, 3.0, 0.0)
    assert settings(calibrated, prompt=MIXED) == (0.75, 3.0, 0.0)
    both = "left pleural effusion and right pleural effusion"
    assert settings(calibrated, prompt=both) == (0.6, 4.0, 0.0)


def test_other_presets_stay_as_they_are(calibrated: Path) -> None:
    assert Networks(models=calibrated.parent).calibrated("mine", "paper") == PRESETS["paper"]
    assert settings(calibrated, prompt=REMOVE, preset="paper")[0] == 1.0


def test_the_request_has_the_last_word(calibrated: Path) -> None:
    assert settings(calibrated, prompt=REMOVE, strength=0.3)[0] == 0.3
    override = {"sampling": {"guidance_scale": 9}, "correct": {"alpha_max": 0.2}}
    assert settings(calibrated, prompt=REMOVE, overrides=override) == (0.75, 9.0, 0.2)


@pytest.mark.parametrize("prompt", [ADD, REMOVE, MIXED])
def test_a_sham_runs_as_the_edit_that_it_controls(calibrated: Path, prompt: str) -> None:
    assert settings(calibrated, prompt=prompt, sham=True) == settings(calibrated, prompt=prompt)


def test_a_broken_calibration_is_one_sentence(calibrated: Path) -> None:
    (calibrated / CALIBRATION).write_text('{"presets": {"default": 3}}')
    with pytest.raises(BadRequest, match="no settings for 'default'"):
        settings(calibrated, prompt=ADD)


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
    for nothing in (json.dumps({"carrier": "verbs", "files": files}), "[]", "{"):
        (folder / CENSUS).write_text(nothing)
        with pytest.raises(BadRequest, match="has no answer"):
            networks.carrier("mine")


AUTO = {"tokens": {"carrier": "auto"}}


def test_an_open_carrier_becomes_what_the_census_says(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for part in tiny_folder.iterdir():
        (folder / part.name).symlink_to(part)
    networks = Networks(models=tmp_path)
    files = dict(networks.backbone("mine").files)

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


def test_a_calibration_may_leave_the_carrier_to_the_census(calibrated: Path) -> None:
    made = {"presets": {"default": AUTO}}
    (calibrated / CALIBRATION).write_text(json.dumps(made))
    request = EditRequest(source="x.dcm", prompt=ADD, backbone=str(calibrated))
    assert configured(request, Networks(models=calibrated.parent)).tokens.carrier == "finding+eos"
