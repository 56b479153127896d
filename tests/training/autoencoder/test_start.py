# SPDX-License-Identifier: Apache-2.0
"""Trainings begin in a process of their own, and say what they miss."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monai_cxr_cf.errors import ComponentMissing

ROOT = Path(__file__).resolve().parents[3]
RECIPE = (
    "channels: [8, 8, 8, 8]\nnorm_groups: 4\nside: 64\ncrop: 32\nbatch: 2\nsteps: 1\n"
    "check_every: 1\nprecision: 'no'\nwarmup: 1\nlinear: false\n"
)


def trained(kind: str, data: Path, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``cxr-cf train KIND`` in a fresh process."""
    line = (sys.executable, "-m", "monai_cxr_cf.cli", "train", kind)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*line, "--data", str(data), "--out", str(out), *words], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_autoencoder_is_trained(small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(RECIPE)
    done = trained(
        "autoencoder", small_data, tmp_path / "mini", "--recipe", str(tmp_path / "small.yaml")
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mini" / "vae" / "config.json").is_file()


@pytest.mark.parametrize("words", [("diffusion",), ("autoencoder", "--recipe", "decoder")])
def test_what_needs_an_autoencoder_says_so(
    small_data: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Nothing is looked for on a model hub."""
    done = trained(words[0], small_data, tmp_path / "mini", *words[1:])
    assert done.returncode == ComponentMissing.exit_code
    assert "There is no autoencoder in mini/vae.\n" in done.stderr
    assert "cxr-cf train autoencoder, with the same --out" in done.stderr
