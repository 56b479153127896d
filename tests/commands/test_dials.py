# SPDX-License-Identifier: Apache-2.0
"""Dials of guidance, texts and levels from flags and from a job file: each reaches the sampler."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from monai_cxr_cf.cli import main
from monai_cxr_cf.pipeline import run
from monai_cxr_cf.request import from_json
from monai_cxr_cf.runs.networks import Networks
from tests.commands.doors import FIELDS, FLAGS, check_in_force, without
from tests.dicom.factory import Spec
from tests.folders import contents
from tests.test_pipeline import made


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> dict[str, str]:
    """Fields of a request that name files: a phantom, its masks and a tiny backbone."""
    source, masks = made(tmp_path_factory.mktemp("phantom"), Spec())
    return {"source": source, "masks": masks, "backbone": str(tiny_folder)}


@pytest.fixture(scope="module")
def by_flags(tmp_path_factory: pytest.TempPathFactory, paths: dict[str, str]) -> Path:
    """The output of the command line with a flag for each dial."""
    out = tmp_path_factory.mktemp("flags") / "out"
    named = ("--masks", paths["masks"], "--backbone", paths["backbone"], "--progress", "none")
    assert main(["edit", paths["source"], "--out", str(out), *named, *FLAGS]) == 0
    return out


def test_flags_are_in_force(by_flags: Path) -> None:
    check_in_force(by_flags)


def test_a_job_file_gives_the_bytes_of_the_flags(
    by_flags: Path, paths: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "job.json").write_text(json.dumps({**FIELDS, **paths}))
    words = ["edit", "--request", str(tmp_path / "job.json"), "--out", str(tmp_path / "out")]
    assert main([*words, "--progress", "none"]) == 0
    assert contents(tmp_path / "out") == contents(by_flags)


def pixels(folder: Path) -> np.ndarray[Any, Any]:
    """Every image of a series."""
    return np.stack([pydicom.dcmread(path).pixel_array for path in sorted(folder.glob("cf/*"))])


@pytest.fixture(scope="module")
def networks() -> Networks:
    """Loaded once for all that follow."""
    return Networks()


@pytest.mark.parametrize(
    "request_",
    [
        without("sampling", "guidance_map"),
        without("tokens", "carrier"),
        without("tokens", "source"),
        without("tokens", "removal"),
        {key: value for key, value in FIELDS.items() if key != "levels_by"},
    ],
    ids=["guidance_map", "carrier", "source", "removal", "levels_by"],
)
def test_each_of_these_dials_moves_pixels(
    request_: dict[str, Any],
    by_flags: Path,
    paths: dict[str, str],
    networks: Networks,
    tmp_path: Path,
) -> None:
    run(from_json({**request_, **paths}), tmp_path / "out", networks=networks)
    found, asked = pixels(tmp_path / "out"), pixels(by_flags)
    assert found.shape == asked.shape
    assert not np.array_equal(found[0], asked[0])
