# SPDX-License-Identifier: Apache-2.0
"""Peak memory on each system, and no module that only POSIX has on the way of an edit."""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from monai_cxr_cf.diffusion.cost import memory

POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}


def used(peak: int) -> SimpleNamespace:
    """The module ``resource`` of a process whose ``ru_maxrss`` is ``peak``."""
    return SimpleNamespace(
        RUSAGE_SELF=0, getrusage=lambda who: SimpleNamespace(ru_maxrss=peak, who=who)
    )


@pytest.mark.parametrize(("system", "told"), [("linux", 3 * 2**19), ("darwin", 3 * 2**29)])
def test_linux_tells_kib_and_macos_bytes(
    system: str, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(memory, "find_spec", lambda name: object())
    monkeypatch.setattr(memory, "import_module", {"resource": used(told)}.__getitem__)
    assert memory.peak_memory_mib() == 1536.0


def test_windows_tells_by_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    held = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=300 * 2**20))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(memory, "find_spec", lambda name: object() if name == "psutil" else None)
    psutil = SimpleNamespace(Process=lambda: held)
    monkeypatch.setattr(memory, "import_module", {"psutil": psutil}.__getitem__)
    assert memory.peak_memory_mib() == 300.0


@pytest.mark.parametrize("system", ["win32", "emscripten"])
def test_a_system_that_tells_nothing_gives_none(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(memory, "find_spec", lambda name: None)
    assert memory.peak_memory_mib() is None


def test_this_process_holds_more_than_nothing() -> None:
    found = memory.peak_memory_mib()
    assert found is not None
    assert 10 < found < 1_000_000


def test_no_module_imports_at_its_top_what_only_posix_has(root: Path) -> None:
    paths = sorted((root / "monai_cxr_cf").rglob("*.py"))
    assert len(paths) > 250
    found = {
        f"{path.relative_to(root)}: {name}"
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        for name in imported(node) & POSIX_ONLY
    }
    assert found == set()


def imported(node: ast.stmt) -> set[str]:
    """Top packages that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    names = node.names if isinstance(node, ast.Import) else ()
    return {alias.name.partition(".")[0] for alias in names}
