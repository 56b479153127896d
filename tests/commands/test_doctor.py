# SPDX-License-Identifier: Apache-2.0
"""The doctor and a torchvision that does not fit: stand-in distributions, each in its own process.

The stand-ins do what real ones do: metadata that asks for one torch, and an import that fails
because an operator of the compiled library is not there.
"""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from monai_cxr_cf.commands.torchvision import USERS, look

TORCH = metadata.version("torch")
PUBLIC = TORCH.partition("+")[0]
NO_OPERATOR = 'raise RuntimeError("operator torchvision::nms does not exist")\n'
OLDER = "Requires-Dist: numpy\nRequires-Dist: torch==1.0.0\n"
FITTING = f"Requires-Dist: torch=={PUBLIC}\n"
OF_AN_EXTRA = f'{FITTING}Requires-Dist: torch==1.0.0; extra == "old"\n'
LOADED_HALF = "from . import nothing_of_that_name\n"


def stand_in(folder: Path, code: str, asks: str, name: str = "torchvision") -> Path:
    """A package and its metadata, as pip would lay them."""
    info = folder / f"{name}-0.27.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.27.0\n{asks}")
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    return folder


def doctor(root: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    """Exit code of ``cxr-cf doctor`` with that folder on sys.path, and what it says of it."""
    path = os.pathsep.join([str(root), str(folder)])
    done = subprocess.run(
        [sys.executable, "-m", "monai_cxr_cf.cli", "doctor", "--json"], cwd=root,
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    return done.returncode, checks["torchvision"]


def test_one_for_another_torch_is_told_by_its_metadata_alone(root: Path, tmp_path: Path) -> None:
    code, said = doctor(root, stand_in(tmp_path, "", OLDER))
    assert (code, said["ok"]) == (3, False)
    assert f"0.27.0: made for torch==1.0.0, beside torch {TORCH}" in said["found"]
    assert "its import ends" not in said["found"]
    assert said["hint"].count(". ") == 0, "one sentence"
    assert "pip uninstall torchvision" in said["hint"]
    assert f"belongs to torch {TORCH}" in said["hint"]


@pytest.mark.parametrize(("code", "error"), [(NO_OPERATOR, "RuntimeError (operator torchvision"),
                                             (LOADED_HALF, "ImportError (")])  # fmt: skip
def test_one_of_another_build_breaks_clip_and_diffusers_and_is_told(
    code: str, error: str, root: Path, tmp_path: Path
) -> None:
    status, said = doctor(root, stand_in(tmp_path, code, FITTING))
    assert (status, said["ok"]) == (3, False)
    assert "made for" not in said["found"]
    assert f"its import ends in {error}" in said["found"]
    assert said["found"].endswith("breaks CLIP, diffusers")


def test_torchmetrics_beside_a_broken_one_is_named(root: Path, tmp_path: Path) -> None:
    stand_in(tmp_path, NO_OPERATOR, OLDER)
    stand_in(tmp_path, "import torchvision\n", "", name="torchmetrics")
    _, said = doctor(root, tmp_path)
    assert said["found"].endswith(f"breaks {', '.join(USERS)}")


def test_the_copy_that_fits_and_none_at_all_are_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert look() == (True, "absent, as it should be", "")
    monkeypatch.setattr("monai_cxr_cf.commands.torchvision.USERS", {})
    monkeypatch.syspath_prepend(str(stand_in(tmp_path, "", OF_AN_EXTRA)))
    assert look() == (True, "0.27.0, present and whole; not used", "")
    monkeypatch.delitem(sys.modules, "torchvision")
