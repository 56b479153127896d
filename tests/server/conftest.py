# SPDX-License-Identifier: Apache-2.0
"""A running server with a tiny real backbone, and a phantom radiograph to send to it."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from monai_cxr_cf.server.app import create_app
from monai_cxr_cf.server.settings import Settings
from tests.dicom.factory import Spec, phantom_masks, save
from tests.server.serving import Serving, Web


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A DX phantom as DICOM."""
    return save(tmp_path_factory.mktemp("phantom") / "source.dcm", Spec()).read_bytes()


@pytest.fixture(scope="session")
def labels() -> bytes:
    """Its organs as a label PNG: random weights find no chest in a phantom."""
    spec, stream = Spec(), io.BytesIO()
    values = np.zeros((spec.rows, spec.columns), np.uint8)
    for value, mask in enumerate(phantom_masks(spec.rows, spec.columns).values(), 1):
        values[mask] = value
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def files(phantom: bytes, labels: bytes) -> dict[str, Any]:
    """The uploads of a job that succeeds."""
    return {"dicom": ("x.dcm", phantom), "masks": ("labels.png", labels)}


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Any]:
    """Starts servers with flags of a test's own, all stopped at the end of the module."""
    started: list[Serving] = []

    def start(*flags: str, key: str | None = None) -> Serving:
        data = tmp_path_factory.mktemp("serve") / "data"
        serving = Serving(data, "--backbone", f"tiny={tiny_folder}", *flags, key=key)
        started.append(serving)
        return serving.start()

    yield start
    for serving in started:
        serving.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Serving]:
    """One server for all tests that leave it as it was; its worker may still load."""
    data = tmp_path_factory.mktemp("server") / "data"
    serving = Serving(data, "--backbone", f"tiny={tiny_folder}").start()
    yield serving
    assert serving.stop() == 0


@pytest.fixture
def client(server: Serving) -> Iterator[httpx.Client]:
    """A client of that server."""
    with server.client() as found:
        yield found


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web process's part alone, over real HTTP; jobs queue and nobody works."""
    found = Web(Settings(data=tmp_path_factory.mktemp("web") / "data"))
    yield found
    found.stop()


@pytest.fixture
def caller(web: Web) -> Iterator[httpx.Client]:
    """A client of it."""
    with web.client() as client:
        yield client


@pytest.fixture
def within(tmp_path: Path) -> Callable[..., TestClient]:
    """The app in this process without a worker: ``within(key=..., limits=...)``."""

    def make(**fields: Any) -> TestClient:
        app = create_app(Settings(data=tmp_path / "data", **fields), work=False)
        return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)

    return make
