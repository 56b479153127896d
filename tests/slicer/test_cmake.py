# SPDX-License-Identifier: Apache-2.0
"""The extension configures, installs exactly what is in its tree, and describes itself."""

import subprocess
from pathlib import Path

import pytest

STUB = Path(__file__).with_name("stub")


@pytest.fixture(scope="module")
def extension(root: Path) -> Path:
    """The folder that becomes the repository of the extension."""
    return root / "slicer_extension"


@pytest.fixture(scope="module")
def build(extension: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configured and installed with our stub in place of Slicer's build tree."""
    folder = tmp_path_factory.mktemp("cmake")
    words = ["-S", str(extension), "-B", str(folder), "-DBUILD_TESTING=ON", f"-DSlicer_DIR={STUB}"]
    _cmake(*words, f"-DCMAKE_INSTALL_PREFIX={folder / 'installed'}")
    _cmake("--install", str(folder))
    return folder


def _cmake(*words: str) -> None:
    done = subprocess.run(["cmake", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _made(path: Path) -> bool:
    """Left behind by Python and its tools."""
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def test_what_is_installed_is_the_tree_both_ways(build: Path, extension: Path) -> None:
    module = extension / "CXRCounterfactual"
    there = {
        path.relative_to(module).as_posix()
        for path in module.rglob("*")
        if path.is_file() and not _made(path) and path.name != "CMakeLists.txt"
    }
    top = build / "installed" / "lib" / "Slicer-5.12" / "qt-scripted-modules"
    installed = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
    assert installed == there


def test_the_self_test_is_registered(build: Path) -> None:
    assert (build / "tests.txt").read_text().split() == ["CXRCounterfactual.py"]


def test_the_description_is_complete_and_points_at_files_that_exist(
    build: Path, extension: Path
) -> None:
    lines = (build / "metadata.txt").read_text().splitlines()
    told = dict(line.split("=", 1) for line in lines)
    assert all(told.values())
    assert told["DEPENDS"] == "NA"
    assert "never for diagnosis" in told["DESCRIPTION"]
    for url in (told["ICONURL"], *told["SCREENSHOTURLS"].split()):
        assert url.startswith("https://")
        assert (extension / url.partition("/main/")[2]).is_file(), url
