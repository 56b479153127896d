# SPDX-License-Identifier: Apache-2.0
"""What the bundle's tests share: the smallest edit, how to run it, and how to compare outputs."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import monai.bundle

from monai_cxr_cf.weights import bundle_folder

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = bundle_folder()
CONFIGS = BUNDLE / "configs"
PROMPT = "moderate left pleural effusion"


def workflow(config: str, kind: str, **overrides: Any) -> Any:
    """An initialised workflow of one configuration, logging left as it is."""
    return monai.bundle.create_workflow(
        config_file=str(CONFIGS / config),
        meta_file=str(CONFIGS / "metadata.json"),
        workflow_type=kind,
        logging_file=False,
        **{"bundle_root": str(BUNDLE), **overrides},
    )


def run(*configs: str, **overrides: Any) -> None:
    """``monai.bundle run`` in this process."""
    monai.bundle.run(
        config_file=[str(CONFIGS / name) for name in configs],
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        **{"bundle_root": str(BUNDLE), **overrides},
    )


def spoken(*words: str, cwd: Path = BUNDLE) -> subprocess.CompletedProcess[str]:
    """``python -m WORDS`` as a user types it, from the bundle's root."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # threads as here: sums keep their order
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
