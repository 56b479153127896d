# SPDX-License-Identifier: Apache-2.0
"""Where the runner is found, what a child inherits, and how an environment is made."""

import json
import os
import sys
from pathlib import Path

import pytest
from CXRCounterfactualLib.contract.events import Failed, Progressed
from CXRCounterfactualLib.process import environment
from CXRCounterfactualLib.process.backend import Backend
from CXRCounterfactualLib.process.commands import Command, create_command
from CXRCounterfactualLib.process.environment import (
    Plan,
    base_python,
    base_uv,
    checkout_around,
    clean_environment,
    create_commands,
    find_runner,
    maker,
    megabytes,
    package_of,
    python_in,
)

from tests.slicer.helpers.driving import drive


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder as a virtual environment has it, with ``cxr-cf`` beside its Python."""
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "cxr-cf"):
        (folder / "bin" / name).write_text("#!/bin/sh\n")
        (folder / "bin" / name).chmod(0o755)
    return folder


def test_the_setting_comes_first_then_the_variable_then_the_path(installed: Path) -> None:
    python = str(installed / "bin" / "python")
    on_path = {"PATH": str(installed / "bin")}
    both = on_path | {environment.VARIABLE: "/other/python"}
    asked = [
        find_runner("/named/python", both),
        find_runner("", both),
        find_runner(" ", on_path),
        find_runner("", {"PATH": ""}),
    ]
    found = [(r.python, r.origin) if r else None for r in asked]
    assert found == [
        ("/named/python", "setting"),
        ("/other/python", "variable"),
        (python, "path"),
        None,
    ]


def test_what_was_set_but_is_not_there_is_not_passed_over(installed: Path) -> None:
    runner = find_runner("/gone/python", {"PATH": str(installed / "bin")})
    assert runner is not None
    assert (runner.python, runner.there) == ("/gone/python", False)


@pytest.mark.parametrize("named", ["", "bin/python", "bin/cxr-cf"])
def test_folder_python_and_script_all_name_the_same_python(named: str, installed: Path) -> None:
    runner = find_runner(str(installed / named), {})
    assert runner is not None
    assert runner.python == str(installed / "bin" / "python")
    assert runner.there


def test_a_script_alone_names_its_python_in_its_first_line(tmp_path: Path) -> None:
    script = tmp_path / "cxr-cf"
    script.write_text("#!/opt/tool/bin/python3.12\nprint()\n")
    runner = find_runner(str(script), {})
    assert runner is not None
    assert runner.python == "/opt/tool/bin/python3.12"


def test_a_child_inherits_nothing_of_slicers_python_and_libraries() -> None:
    slicers = dict.fromkeys(
        ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
         "DYLD_FALLBACK_LIBRARY_PATH"), "x",
    )  # fmt: skip
    kept = {"PATH": "/bin", "HOME": "/home/me", "HTTPS_PROXY": "http://p"}
    assert clean_environment(slicers | kept) == kept


def test_a_base_is_a_python_of_the_system_never_this_one(tmp_path: Path) -> None:
    own = str(Path(sys.executable).parent)
    assert base_python({"PATH": own}) is None or own not in str(base_python({"PATH": own}))
    other = tmp_path / "python3.12"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert base_python({"PATH": f"{own}{os.pathsep}{tmp_path}"}) == str(other)
    assert base_python({"PATH": ""}) is None


def test_the_plan_is_shown_as_it_is_run_and_uses_the_lock_of_a_checkout(
    tmp_path: Path, root: Path
) -> None:
    plan = create_commands(tmp_path / "my env", str(root), python="/usr/bin/python3")
    assert [name for name, _ in plan.stages] == ["check", "create", "install", "doctor"]
    lines = plan.text.splitlines()
    assert lines[1] == f"/usr/bin/python3 -m venv '{tmp_path / 'my env'}'"
    assert f"-c {root / 'constraints.txt'} {root}" in lines[2]
    assert "-c" not in create_commands(tmp_path, "/a/monai_cxr_cf-1.whl", python="p").steps[2]
    assert all("slicer" not in step[0].lower() for step in plan.steps)


@pytest.mark.parametrize(
    ("python", "uv", "made_by"),
    [
        ("/usr/bin/python3.12", "/opt/uv", "/usr/bin/python3.12"),
        ("/usr/bin/python3", "/opt/uv", "/opt/uv"),  # may be 3.9: its name does not tell
        ("/usr/bin/python3", None, "/usr/bin/python3"),
        (None, "/opt/uv", "/opt/uv"),
        (None, None, None),
    ],
)
def test_uv_makes_it_where_no_python_is_known_to_do(
    python: str | None, uv: str | None, made_by: str | None
) -> None:
    assert maker(python, uv) == made_by


def test_the_plan_of_uv_brings_a_python_and_is_run_by_another(tmp_path: Path) -> None:
    plan = create_commands(tmp_path / "e", "/a/monai_cxr_cf-1.whl", python="/o/uv", driver="/s/py")
    assert [name for name, _ in plan.stages] == ["check", "create", "install", "doctor"]
    assert plan.text.splitlines()[:2] == [
        "/o/uv --version", f"/o/uv venv --seed --no-project --python 3.12 {tmp_path / 'e'}"
    ]  # fmt: skip
    assert plan.steps[2][0] == str(python_in(tmp_path / "e"))
    assert create_command(plan, environment={}).program == "/s/py"
    plain = create_commands(tmp_path, "/a/monai_cxr_cf-1.whl", python="/u/python3", driver="/s/py")
    assert create_command(plain, environment={}).program == "/u/python3"


@pytest.mark.usefixtures("application")
def test_uv_on_the_path_makes_an_environment(tmp_path: Path) -> None:
    stand_in = tmp_path / "bin" / "uv"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit 0\n'
        f'for last; do :; done\nexec {sys.executable} -m venv --without-pip "$last"\n'
    )
    stand_in.chmod(0o755)
    assert base_uv({"PATH": str(stand_in.parent)}) == str(stand_in)
    assert base_uv({"PATH": ""}) is None
    whole = create_commands(tmp_path / "made", "x.whl", python=str(stand_in), driver=sys.executable)
    inside = str(python_in(tmp_path / "made"))
    steps = (*whole.steps[:2], (inside, "-c", "print('in')"), (inside, "-c", "print('fine')"))
    plan = Plan(whole.folder, steps, whole.driver)
    told = drive(Backend(), create_command(plan, environment=dict(os.environ)))
    assert told.end.exit_code == 0, told.end
    assert python_in(tmp_path / "made").exists()


def test_what_is_left_of_an_environment_in_use_can_be_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "pyvenv.cfg").touch()

    def half(path: Path) -> None:
        (path / "pyvenv.cfg").unlink()
        raise PermissionError("in use")

    with monkeypatch.context() as patch:
        patch.setattr(environment.shutil, "rmtree", half)
        with pytest.raises(PermissionError):
            environment.remove(folder)
    assert environment.is_environment(folder)
    environment.remove(folder)
    assert not folder.exists()


def test_only_a_wheel_or_a_checkout_that_is_there_is_installed_never_a_name(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, other = tmp_path / "monai_cxr_cf-0.1.0-py3-none-any.whl", tmp_path / "other-1.whl"
    for path in (wheel, other):
        path.touch()
    assert package_of(str(wheel)) == str(wheel)
    assert package_of(f" {root} ") == package_of(str(root / "pyproject.toml")) == str(root)
    monkeypatch.chdir(root)  # a name is no path, wherever the process stands
    for nothing in ("", " ", "monai-cxr-cf", "monai_cxr_cf", str(other), str(tmp_path),
                    str(tmp_path / "monai_cxr_cf-9.whl"), "https://example.org/x.whl"):  # fmt: skip
        assert package_of(nothing) is None, nothing


def test_a_module_finds_the_checkout_that_it_is_run_from(tmp_path: Path, root: Path) -> None:
    assert checkout_around(Path(environment.__file__)) == str(root)
    installed = tmp_path / "lib" / "qt-scripted-modules" / "Lib"
    assert checkout_around(installed / "panel" / "x.py") is None


def making(tmp_path: Path, *last: str) -> Command:
    """The command of a plan whose steps need no network; its last step is ``last``."""
    folder = tmp_path / "made"
    python = sys.executable
    venv = (python, "-m", "venv", "--without-pip", str(folder))
    steps = ((python, "-c", "import venv"), venv, (str(python_in(folder)), "-c", "print('in')"))
    return create_command(Plan(folder, (*steps, last)), environment=dict(os.environ))


@pytest.mark.usefixtures("application")
def test_an_environment_is_made_step_by_step(tmp_path: Path) -> None:
    told = drive(Backend(), making(tmp_path, sys.executable, "-c", "print('fine')"))
    assert told.end.exit_code == 0
    stages = dict.fromkeys(event.stage for event in told.of(Progressed))
    assert list(stages) == ["check", "create", "install", "doctor"]
    assert python_in(tmp_path / "made").exists()
    assert "fine" in "".join(told.logs), "what the commands print goes to the details"


@pytest.mark.usefixtures("application")
def test_a_failed_step_is_named_with_a_hint_and_the_folder_is_gone(tmp_path: Path) -> None:
    told = drive(Backend(), making(tmp_path, sys.executable, "-c", "raise SystemExit('torn')"))
    (failed,) = told.of(Failed)
    assert failed.code == "environment_doctor"
    assert "step 4 of 4" in failed.message
    assert failed.hint
    assert "torn" in told.end.stderr_tail
    assert not (tmp_path / "made").exists()


@pytest.mark.usefixtures("application")
def test_making_can_be_cancelled_and_leaves_no_half_environment(tmp_path: Path) -> None:
    command = making(tmp_path, sys.executable, "-c", "import time; time.sleep(60)")
    told = drive(Backend(), command, cancel_if=lambda e: getattr(e, "stage", "") == "doctor")
    assert told.stop_s < 2
    assert not (tmp_path / "made").exists()


def test_the_steps_travel_as_json(tmp_path: Path) -> None:
    steps = json.loads(making(tmp_path, "x").words[1])
    assert steps[3] == ["doctor", ["x"]]


def test_the_size_of_an_environment_is_that_of_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "python").write_bytes(bytes(9_000_000))
    folder = tmp_path / "environment" / "bin"
    folder.mkdir(parents=True)
    assert megabytes(folder.parent) == 0
    (folder / "python").symlink_to(tmp_path / "python")
    (folder / "torch.so").write_bytes(bytes(1_500_001))
    (folder / "other").symlink_to(tmp_path)
    assert megabytes(folder.parent) == 2
