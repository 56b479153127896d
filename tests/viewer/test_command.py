# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf viewer`` where the environment is missing, and what it refuses before it starts."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from monai_cxr_cf.commands import viewer_environment


def viewer(cache: Path, root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, with an empty cache."""
    return subprocess.run(
        [sys.executable, "-m", "monai_cxr_cf.cli", "viewer", *words],
        env={"PYTHONPATH": str(root), "HOME": str(cache), "XDG_CACHE_HOME": str(cache)},
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_without_its_environment_it_names_the_command_and_installs_nothing(
    tmp_path: Path, root: Path
) -> None:
    done = viewer(tmp_path, root)
    assert done.returncode == 3
    assert "cxr-cf viewer --install" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert not list(tmp_path.iterdir())
    told = json.loads(viewer(tmp_path, root, "--json").stdout)
    assert told["error"]["code"] == "component_missing"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--python", "/no/such/python"), 3, "does not exist"),
        (("--python", sys.executable, "--host", "0.0.0.0"), 2, "this computer only"),
        (("--python", sys.executable, "--host", "radiology.example"), 2, "this computer only"),
        (("--python", sys.executable, "--port", "70000"), 2, "between 0 and 65535"),
        (("--python", sys.executable, "no-such.dcm"), 2, "does not exist"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    words: tuple[str, ...], code: int, said: str, tmp_path: Path, root: Path
) -> None:
    done = viewer(tmp_path, root, *words)
    assert done.returncode == code
    assert said in done.stderr


def test_help_needs_no_environment_and_answers_at_once(tmp_path: Path, root: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = viewer(tmp_path, root, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "--install" in done.stdout
    work = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert 0 < work < 3  # seconds of a processor, whoever else uses the machine


def test_the_environment_is_made_of_its_pins_alone(tmp_path: Path) -> None:
    make, install = viewer_environment.commands(tmp_path / "place")
    assert make[1:3] == ["-m", "venv"]
    assert {"--no-deps", "--only-binary=:all:"} <= set(install)
    assert install[-1] == str(viewer_environment.PINS)
    lines = viewer_environment.PINS.read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    assert {"trame-slicer", "slicer-core", "vtk", "trame"} <= {p.partition("==")[0] for p in pins}


def test_the_tests_and_the_users_have_the_same_pins(root: Path) -> None:
    link = root / "tests" / "viewer" / "constraints.txt"
    assert link.resolve() == viewer_environment.PINS


def test_a_failed_installation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monai_cxr_cf.errors import ResourceExhausted

    pins = tmp_path / "pins.txt"
    pins.write_text("no-such-package-of-anyone==0.0.1\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(viewer_environment, "PINS", pins)
    told: list[str] = []
    with pytest.raises(ResourceExhausted):
        viewer_environment.install(told.append)
    assert len(told) == 2
    assert not viewer_environment.folder().exists()


def test_the_started_python_gets_library_sample_and_words() -> None:
    words = viewer_environment.start_words(Path("/env/python"), ["--port", "0"])
    assert words[:2] == ["/env/python", "-I"]
    assert all(Path(word).exists() for word in words[2:5])
    assert words[5:] == ["--port", "0"]
