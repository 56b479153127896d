# SPDX-License-Identifier: Apache-2.0
"""The built wheel carries the bundle and its weights, and works from any directory."""

import json
import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

SECRETS = (".git", "__pycache__", "shared/")


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "pip", "wheel", str(root), "--no-deps", "--quiet"]
    words += ["--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run(words, check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed apart from the checkout; libraries come from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run([*words, "--target", str(folder)], check=True)
    return folder


def answer(installed: Path, away: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What the installed command says, run from another directory."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, str(installed / "bin" / "cxr-cf"), *words],
        cwd=away,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_holds_package_data_weights_and_lock_file(wheel: Path, root: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (root / "monai_cxr_cf").rglob("*"):
        if path.suffix in (".py", ".json", ".yaml") or path.name == "py.typed":
            assert path.relative_to(root).as_posix() in names
    bundle = root / "bundles" / "cxr_counterfactual"
    for part in ("models", "configs", "docs"):
        for path in (bundle / part).rglob("*"):
            if path.is_file():
                assert f"monai_cxr_cf/bundle/{path.relative_to(bundle).as_posix()}" in names
    assert {"monai_cxr_cf/bundle/LICENSE", "monai_cxr_cf/bundle/large_files.yml"} <= names
    assert {"monai_cxr_cf/constraints.txt", "monai_cxr_cf/py.typed"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_source_archive_holds_what_a_contributor_reads(root: Path) -> None:
    files = SdistBuilder(str(root)).recurse_included_files()
    names = {file.distribution_path.replace(os.sep, "/") for file in files}
    pages = {"CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "Makefile"}  # README.md by itself
    assert pages | {"docs/method.md", "tests/house/test_signposts.py"} <= names
    assert not [n for n in names for secret in SECRETS if secret in f"{n}/"]


def test_metadata_names_authors_and_the_paper(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        told = message_from_bytes(archive.read(name))
    assert told["Author"] == "The monai-cxr-cf contributors"
    assert told.get_all("Project-URL") == ["Paper, https://arxiv.org/abs/2603.04130"]
    assert "Typing :: Typed" in told.get_all("Classifier")


def test_wheel_holds_nothing_that_does_not_belong(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [n for n in names for secret in SECRETS if secret in n]
    assert not [n for n in names if n.startswith(("tests/", "benchmarks/"))]


@pytest.mark.weights
def test_installed_command_finds_its_weights_from_any_directory(
    installed: Path, tmp_path: Path
) -> None:
    done = answer(installed, tmp_path, "info", "--json")
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    assert Path(info["models"]).is_relative_to(installed)
    files = {item["file"] for item in info["weights"]}
    assert "model.pt" in files
    assert any(name.startswith("cxr-mini/unet/") for name in files)
    assert all(item["licence"] != "unknown" for item in info["weights"])
    assert len(info["lock_sha256"]) == 64


@pytest.mark.weights
def test_installed_bundle_runs_from_its_own_folder(
    installed: Path, root: Path, tmp_path: Path
) -> None:
    organs = [
        {
            "_target_": "monai_cxr_cf.transforms.SegmentOrgansd",
            "keys": "image",
            "networks": "@networks",
            "network": "@network",
        },
        {"_target_": "monai_cxr_cf.transforms.WriteSegmentationd", "keys": "image"},
    ]
    words = ["run", "--config_file", "configs/inference.json", "--bundle_root", "."]
    words += ["--source", str(root / "docs" / "example.dcm"), "--prompt", "left effusion"]
    words += ["--output_dir", str(tmp_path / "out"), "--edit#transforms", json.dumps(organs)]
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", *words],
        cwd=installed / "monai_cxr_cf" / "bundle",
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "seg.dcm").is_file()


@pytest.mark.weights
def test_installed_doctor_is_content(installed: Path, tmp_path: Path) -> None:
    done = answer(installed, tmp_path, "doctor", "--json")
    failed = [c for c in json.loads(done.stdout)["checks"] if not c["ok"]]
    assert done.returncode == 0, failed
