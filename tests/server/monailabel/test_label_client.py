# SPDX-License-Identifier: Apache-2.0
"""The stock MONAILabelClient drives our server, from an environment of its own."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK

from tests.label_client.environment import HERE, interpreter
from tests.server.serving import Serving

KEY = "a-key-for-the-label-tests"


@pytest.fixture(scope="module")
def image(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real radiograph with a spacing that tells rows from columns."""
    ds = pydicom.dcmread(root / "docs" / "example.dcm")
    ds.PixelSpacing = [0.3, 0.29]
    ds.pop("NominalScannedPixelSpacing", None)
    path = tmp_path_factory.mktemp("label") / "case.dcm"
    ds.save_as(path)
    return path


@pytest.fixture(scope="module")
def said(serve: Any, image: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One tour of the client through every call."""
    serving: Serving = serve(key=KEY).ready()
    folder = tmp_path_factory.mktemp("answers")
    words = [str(interpreter()), str(HERE / "drive.py"), serving.url, str(image), str(folder), KEY]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_the_client_logs_in_with_the_key_as_password(said: dict[str, Any]) -> None:
    assert said["auth_enabled"] is True
    assert said["auth_valid_token"] is True


def test_info_offers_models_that_slicer_shows(said: dict[str, Any]) -> None:
    model = said["info"]["models"]["cxr_organs"]
    assert (model["type"], model["dimension"]) == ("segmentation", 2)
    assert said["info"]["labels"] == ["right lung", "left lung", "heart"]
    assert set(said["info"]) >= {"name", "version", "strategies", "trainers", "datastore"}


@pytest.mark.parametrize("how", ["session", "id", "file"])
def test_the_masks_lie_where_the_image_lies(how: str, said: dict[str, Any], image: Path) -> None:
    source = SimpleITK.ReadImage(str(image))
    masks = SimpleITK.ReadImage(said[f"infer_by_{how}_image"])
    assert masks.GetSize() == source.GetSize()
    np.testing.assert_allclose(masks.GetSpacing(), source.GetSpacing(), rtol=1e-6)
    assert masks.GetOrigin() == source.GetOrigin()
    assert masks.GetDirection() == source.GetDirection()
    values = SimpleITK.GetArrayFromImage(masks)[0]
    centres = [np.argwhere(values == label).mean(0) for label in (1, 2, 3)]
    assert centres[0][1] < centres[2][1] < centres[1][1], "right lung, heart, left lung by column"
    assert centres[2][0] > max(centres[0][0], centres[1][0]), "the heart lies low"


def test_the_answer_names_labels_latencies_and_centroids(said: dict[str, Any]) -> None:
    params = said["infer_by_session"]
    assert params["label_names"] == {"right lung": 1, "left lung": 2, "heart": 3}
    expected = {"pre", "infer", "invert", "post", "write", "total", "transform"}
    assert set(params["latencies"]) == expected
    assert [list(each) for each in params["centroids"]] == [["label_1"], ["label_2"], ["label_3"]]


def test_a_session_holds_a_name_and_no_path_of_the_server(said: dict[str, Any]) -> None:
    facts = said["get_session"]
    assert facts["image"] == "image.dcm"
    assert facts["expiry"] == 3600
    assert "/" not in "".join(str(value) for value in facts.values())
    assert said["remove_session"]["name"] == said["create_session"]["session_id"]


def test_a_label_is_saved_downloaded_and_listed(said: dict[str, Any]) -> None:
    saved = Path(said["infer_by_file_image"]).read_bytes()
    assert said["save_label"] == {"image": "case-1", "label": "case-1"}
    assert Path(said["download_label"]).read_bytes() == saved
    case = said["datastore"]["objects"]["case-1"]
    assert case["image"]["ext"] == ".dcm"
    assert case["labels"]["final"]["ext"] == ".nrrd"


def test_the_next_image_is_one_without_a_label(said: dict[str, Any]) -> None:
    assert said["next_sample"]["id"] == "case-1"
    assert said["nothing_left"] == {}
