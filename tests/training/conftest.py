# SPDX-License-Identifier: Apache-2.0
"""The small data folder, once a test session."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn chests of 64 px with lung labels."""
    source = Path(__file__).with_name("small_data.py")
    spec = importlib.util.spec_from_file_location("small_data", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder: Path = module.write_small_data(tmp_path_factory.mktemp("data") / "cxr")
    return folder
