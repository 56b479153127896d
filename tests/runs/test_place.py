# SPDX-License-Identifier: Apache-2.0
"""Precision of a run: recorded, repeatable, in the cache's key, and no part of the request."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch

from monai_cxr_cf import cli
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.runs.networks import Networks
from tests.dicom.factory import Spec
from tests.folders import contents
from tests.test_pipeline import made, request_on

QUICK = {"sampling": {"steps": 4}}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A DX phantom with its organ masks as PNG: (file, masks)."""
    return made(tmp_path_factory.mktemp("phantom"), Spec())


@pytest.fixture(scope="module")
def half(
    tmp_path_factory: pytest.TempPathFactory, phantom: tuple[str, str], tiny_folder: Path
) -> Path:
    """The output of an edit in bf16."""
    out = tmp_path_factory.mktemp("half") / "out"
    run(request_on(phantom, tiny_folder, overrides=QUICK), out, networks=Networks(precision="bf16"))
    return out


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


def pixels(folder: Path) -> Any:
    return pydicom.dcmread(folder / "cf" / "0001.dcm").pixel_array.astype(np.float64)


def test_the_same_request_in_the_same_precision_gives_the_same_bytes(
    half: Path, phantom: tuple[str, str], tiny_folder: Path, tmp_path: Path
) -> None:
    source, masks = phantom
    words = ["edit", source, "--masks", masks, "--backbone", str(tiny_folder), "--progress", "none"]
    words += ["--prompt", report(half)["request"]["prompt"], "--sampling-steps", "4"]
    assert cli.main([*words, "--precision", "bf16", "--out", str(tmp_path / "again")]) == 0
    assert contents(tmp_path / "again") == contents(half)


def test_another_precision_is_another_picture_of_the_same_request(
    half: Path, phantom: tuple[str, str], tiny_folder: Path, tmp_path: Path
) -> None:
    request = request_on(phantom, tiny_folder, overrides=QUICK)
    run(request, tmp_path / "auto", networks=Networks())
    run(request, tmp_path / "full", networks=Networks(device="cpu", precision="fp32"))
    assert contents(tmp_path / "auto") == contents(tmp_path / "full")  # tiny: auto is fp32
    full, other = report(tmp_path / "full"), report(half)
    assert (full["run"]["precision"], other["run"]["precision"]) == ("float32", "bfloat16")
    assert other["trace"]["backbone"]["dtype"] == "bfloat16"
    for name in ("request_sha256", "seeds", "region", "weights"):
        assert other[name] == full[name]
    assert other["outside_max_diff"] == full["outside_max_diff"] == 0
    apart = np.abs(pixels(half) - pixels(tmp_path / "full"))
    assert 0 < apart.mean() < 0.002 * np.ptp(pixels(half))  # tenths of a grey level of 255
    uids = [
        pydicom.dcmread(f / "cf" / "0001.dcm").SOPInstanceUID for f in (half, tmp_path / "full")
    ]
    assert uids[0] != uids[1]


def test_results_of_one_precision_are_not_recalled_in_another(
    half: Path, phantom: tuple[str, str], tiny_folder: Path, tmp_path: Path
) -> None:
    request = request_on(phantom, tiny_folder, overrides=QUICK)
    for name in ("fp32", "bf16"):
        networks = Networks(precision=name, cache=tmp_path / "cache")
        run(request, tmp_path / name, networks=networks)
        assert "latent" not in networks.memory.taken
    assert contents(tmp_path / "bf16") == contents(half)
    again = Networks(precision="bf16", cache=tmp_path / "cache")
    run(request, tmp_path / "again", networks=again)
    assert again.memory.taken["latent"] == 1
    assert contents(tmp_path / "again") == contents(half)


def test_half_precision_lays_channels_side_by_side_and_float32_does_not(tiny_folder: Path) -> None:
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        unet = Networks(precision=name).backbone(str(tiny_folder)).unet
        kernel = unet.down_blocks[0].resnets[0].conv1.weight
        assert kernel.dtype == dtype
        assert kernel.is_contiguous(memory_format=torch.channels_last) == (name == "bf16")


def test_python_refuses_as_the_command_line_does(tiny_folder: Path) -> None:
    for words, place in (
        ("no device 'gpu'", {"device": "gpu"}),
        ("no precision 'half'", {"precision": "half"}),
        ("A CPU does not run in fp16", {"device": "cpu", "precision": "fp16"}),
    ):
        with pytest.raises(BadRequest, match=words):
            Networks(**place).backbone(str(tiny_folder))
