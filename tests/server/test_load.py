# SPDX-License-Identifier: Apache-2.0
"""Many clients that poll one job: each gets an answer. The bar is measured by the benchmark."""

import asyncio
import importlib.util
from types import ModuleType
from typing import Any

import pytest

from tests.server.serving import ROOT, Web, post


@pytest.fixture(scope="module")
def load() -> ModuleType:
    """benchmarks/server_load.py."""
    path = ROOT / "benchmarks" / "server_load.py"
    spec = importlib.util.spec_from_file_location("server_load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_forty_clients_that_poll_are_all_answered(
    load: ModuleType, web: Web, files: dict[str, Any]
) -> None:
    with web.client() as client:
        job = post(client, files, seeds=[404]).json()["id"]
        figures = asyncio.run(load.many(f"{web.url}/v1/jobs/{job}", 40, 3.0, key=None))
        client.delete(f"/v1/jobs/{job}")
    assert figures["failed"] == 0
    assert figures["answers"] >= 40
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["max_ms"]
