# SPDX-License-Identifier: Apache-2.0
"""Cancel: the whole process tree and every partial file gone within two seconds, 20 of 20."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from CXRCounterfactualLib.contract.events import Progressed, Result
from CXRCounterfactualLib.process.backend import Backend

from tests.posix import posix
from tests.slicer.helpers.driving import Told, drive, fake, living, spin

pytestmark = pytest.mark.usefixtures("application")
LONGEST = 0.1  # seconds: the bar for a blocked window
LIMIT = 2.0  # seconds: the bar for a cancel


def is_step(event: Any) -> bool:
    """The runner works."""
    return isinstance(event, Progressed)


def stopped(told: Told, folder: Path) -> None:
    """The bar: in time, told once, nobody and nothing left, the window alive."""
    assert told.stop_s < LIMIT
    assert told.end.cancelled
    assert not living(str(folder))
    assert [path.name for path in folder.iterdir()] == []
    assert max(told.gaps) < LONGEST


@pytest.mark.parametrize("mode", ["polite"] * 10 + ["stubborn"] * 10)
def test_cancel_ends_tree_and_files_in_two_seconds(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    told = drive(Backend(), fake(mode, folder / "out"), cancel_if=is_step)
    stopped(told, folder)
    if mode == "polite":
        assert told.end.exit_code == 143
        assert told.stop_s < 1.0, "nobody waits for a kill that is not needed"


@posix
@pytest.mark.parametrize("mode", ["polite", "stubborn"])
def test_a_launcher_in_front_of_python_does_not_hide_its_tree(mode: str, tmp_path: Path) -> None:
    # Slicer's own Python stands behind one: the process that Qt knows is not the one that works.
    folder, launcher = tmp_path / "job", tmp_path / "launcher"
    folder.mkdir()
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    command = replace(fake(mode, folder / "out"), program=str(launcher))
    told = drive(Backend(), command, cancel_if=is_step)
    stopped(told, folder)


def test_nothing_is_told_after_cancel_but_the_end(tmp_path: Path) -> None:
    told = drive(Backend(), fake("steps", tmp_path / "out"), cancel_if=is_step)
    assert len(told.of(Progressed)) == 1
    assert not told.of(Result)
    assert not told.end.saw_result


def test_cancel_before_the_first_word_works_too(tmp_path: Path) -> None:
    backend, ends = Backend(), []
    (tmp_path / "job").mkdir()
    backend.start(fake("stubborn", tmp_path / "job" / "out"), print, ends.append)
    backend.cancel()
    began = time.perf_counter()
    while not ends and time.perf_counter() - began < LIMIT:
        spin(0.02)
    assert ends
    assert ends[0].cancelled
    spin(0.2)
    assert not living(str(tmp_path))


def test_cancel_twice_and_cancel_after_the_end_do_nothing(tmp_path: Path) -> None:
    backend = Backend()
    backend.cancel()

    def twice(event: Any) -> bool:
        if is_step(event):
            backend.cancel()
        return is_step(event)

    told = drive(backend, fake("polite", tmp_path / "out"), cancel_if=twice)
    backend.cancel()
    assert len(told.ends) == 1
    assert not backend.running


def test_a_folder_that_holds_files_of_others_is_never_removed(tmp_path: Path) -> None:
    out = tmp_path / "job" / "out"
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("keep")
    told = drive(Backend(), fake("polite", out), cancel_if=is_step)
    assert told.end.cancelled
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
