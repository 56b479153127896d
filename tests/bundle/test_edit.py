# SPDX-License-Identifier: Apache-2.0
"""``monai.bundle run`` on inference.json: the command line's bytes, many images, refusals."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch

from monai_cxr_cf.cli import main
from monai_cxr_cf.dicom.reading.read import read_source
from monai_cxr_cf.dicom.seg_read import read_segmentation
from tests.bundle.tiny import BUNDLE, PROMPT, run, spoken
from tests.commands.doors import BY_KEYS, FLAGS, OVERRIDES, check_in_force
from tests.folders import contents


def test_bundle_and_command_line_write_the_same_bytes(
    phantom: dict[str, str], tiny_folder: Path, tmp_path: Path
) -> None:
    done = spoken(
        *("monai.bundle", "run", "--config_file", "configs/inference.json", "--bundle_root", "."),
        *("--source", phantom["source"], "--output_dir", str(tmp_path / "bundle"), *BY_KEYS),
        *("--request#overrides#correct#alpha_max", "0.05"),
        *("--request#masks", phantom["masks"], "--request::backbone", str(tiny_folder)),
        *("--device", "cpu", "--precision", "bf16"),
    )
    assert done.returncode == 0, done.stderr
    assert PROMPT not in done.stdout + done.stderr  # neither by us nor by MONAI's summary
    words = ["edit", phantom["source"], "--out", str(tmp_path / "cli"), *FLAGS]
    words += ["--masks", phantom["masks"], "--backbone", str(tiny_folder)]
    words += ["--correct-alpha-max", "0.05"]
    assert main([*words, "--precision", "bf16", "--progress", "none"]) == 0
    assert contents(tmp_path / "bundle") == contents(tmp_path / "cli")
    corrected = {**OVERRIDES, "correct": {"alpha_max": 0.05}}
    check_in_force(tmp_path / "bundle", overrides=corrected)
    report = json.loads((tmp_path / "bundle" / "report.json").read_text())
    assert report["outside_max_diff"] == 0
    assert report["run"]["precision"] == "bfloat16"
    # The evaluator runs under no_grad, and the sampler's own gradient worked all the same.
    assert report["trace"]["steps"][0]["correction"]["gradient_rms"][0] > 0


def test_a_refusal_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    done = spoken(
        *("monai.bundle", "run", "--config_file", "configs/inference.json", "--bundle_root", "."),
        *("--source", str(BUNDLE / "LICENSE"), "--prompt", "left plural efusion"),
        *("--output_dir", str(tmp_path / "out")),
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        ({"source": ""}, 2, "No source"),
        ({"source": "/no/such/file.dcm"}, 2, "does not exist"),
        ({"source": str(BUNDLE / "LICENSE")}, 2, "not DICOM"),
        ({"prompt": ""}, 2, "request"),
        ({"prompt": "purple elephants"}, 2, "finding"),
        ({"request#overrides": {"boost": {"eta": -1}}}, 2, "boost.eta"),
        ({"request#reading": {"nonsense": True}}, 2, "nonsense"),
        ({"request#backbone": "/no/such/model"}, 3, "backbone"),
        ({"device": "gpu"}, 2, "no device 'gpu'"),
        ({"precision": "half"}, 2, "no precision 'half'"),
        ({"device": "cpu", "precision": "fp16"}, 2, "CPU does not run in fp16"),
    ],
)
def test_bad_input_leaves_nothing_and_keeps_its_exit_code(
    settings: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: dict[str, Any],
    code: int,
    words: str,
) -> None:
    with pytest.raises(SystemExit) as left:
        run("inference.json", **{**settings, "output_dir": str(tmp_path / "out"), **overrides})
    said = capsys.readouterr().err.splitlines()[-1]
    assert (left.value.code, words in said) == (code, True), said
    assert not list(tmp_path.iterdir())


def test_an_output_folder_of_others_is_not_touched(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(SystemExit):
        run("inference.json", **settings, output_dir=str(tmp_path), overwrite=True)
    assert (tmp_path / "thesis.doc").read_text() == "years of work"


@pytest.mark.weights
def test_folders_and_datalists_are_edited_row_by_row(
    settings: dict[str, Any], phantom: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.dcm", "b.dcm"):
        shutil.copy(phantom["source"], folder / name)
    (folder / "notes.txt").write_text("not an image")
    listed = [{"image": "a.dcm", "prompt": "no cardiomegaly", "seeds": [3]}, {"image": "b.dcm"}]
    (folder / "list.json").write_text(json.dumps({"testing": listed}))
    one = {key: value for key, value in settings.items() if key != "source"}
    run("inference.json", **one, source=str(folder / "list.json"), output_dir=str(tmp_path / "two"))
    first, second = (
        json.loads((tmp_path / "two" / name / "report.json").read_text())
        for name in ("0001", "0002")
    )
    assert first["findings"][0]["direction"] == "remove"
    assert first["seeds"] == [3]
    assert second["findings"][0]["words"] == PROMPT
    # A folder gives what its files give: here the row that has no words of its own.
    (folder / "b.dcm").unlink()
    run("inference.json", **one, source=str(folder), output_dir=str(tmp_path / "one"))
    assert contents(tmp_path / "one" / "0001") == contents(tmp_path / "two" / "0002")


ORGANS_ONLY = [
    {
        "_target_": "monai_cxr_cf.transforms.SegmentOrgansd",
        "keys": "image",
        "networks": "@networks",
        "network": "@network",
    },
    {"_target_": "monai_cxr_cf.transforms.WriteSegmentationd", "keys": "image"},
]


@pytest.mark.weights
def test_swapped_weights_of_network_def_change_the_masks_and_their_name(
    root: Path, tmp_path: Path
) -> None:
    weights = torch.load(BUNDLE / "models" / "model.pt", weights_only=True)
    moved = {**weights, "refine4.move.mix.bias": weights["refine4.move.mix.bias"] + 0.02}
    torch.save(moved, tmp_path / "moved.pt")
    source = root / "docs" / "example.dcm"
    found, identities = [], []
    for name, path in (
        ("shipped", BUNDLE / "models" / "model.pt"),
        ("moved", tmp_path / "moved.pt"),
    ):
        run(
            "inference.json",
            source=str(source),
            prompt=PROMPT,
            ckpt_path=str(path),
            **{"output_dir": str(tmp_path / name), "edit#transforms": copy.deepcopy(ORGANS_ONLY)},
        )
        seg = tmp_path / name / "seg.dcm"
        found.append(read_segmentation(seg, read_source(source)))
        identities.append(pydicom.dcmread(seg).SOPInstanceUID)
    shipped, other = found
    assert set(shipped) == {"right_lung", "left_lung", "heart"}
    assert any(not np.array_equal(shipped[name], other[name]) for name in shipped)
    assert identities[0] != identities[1]
