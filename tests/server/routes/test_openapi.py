# SPDX-License-Identifier: Apache-2.0
"""The API's own description: complete, shown offline, and true for whatever is sent to it."""

import re
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from monai_cxr_cf.server.app import create_app
from monai_cxr_cf.server.settings import Settings
from tests.server.serving import Web

load_all_checks()
EXAMPLES = 8  # an operation and mode
NEEDS_A_WORKER = "^/infer"
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    app = create_app(Settings(data=tmp_path_factory.mktemp("api") / "data"), work=False)
    found: dict[str, Any] = app.openapi()
    return found


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_is_answered_as_described(mode: GenerationMode, web: Web) -> None:
    schema = schemathesis.openapi.from_url(f"{web.url}/openapi.json")
    tried = 0
    for result in schema.exclude(path_regex=NEEDS_A_WORKER).get_all_operations():
        fuzz(result.ok(), mode)
        tried += 1
    assert tried >= 10


def fuzz(operation: Any, mode: GenerationMode) -> None:
    """Send what the description allows, or just does not; every answer must be as described."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck), phases=[Phase.generate])  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def sent(case: Any) -> None:
        answer = case.call()
        if answer.status_code == 503:  # no worker and no DICOM store here; both are documented
            body = answer.json()
            assert {"code", "message", "hint"} == set(body) or "status" in body
            return
        case.validate_response(answer, checks=CHECKS)

    try:
        sent()
    except Unsatisfiable:  # nothing can be sent wrongly where there is nothing to send
        assert mode is GenerationMode.NEGATIVE


def test_every_route_and_field_is_explained(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation.get("summary"), where
            assert operation.get("description"), where
            assert {"4XX", "5XX"} <= set(operation["responses"]), where
            for parameter in operation.get("parameters", ()):
                if parameter["name"] != "authorization":
                    assert parameter.get("description"), (where, parameter["name"])
    for name, model in described["components"]["schemas"].items():
        for field, about in model.get("properties", {}).items():
            assert about.get("description") or "$ref" in about, (name, field)


def test_the_page_shows_it_without_a_hub(caller: httpx.Client) -> None:
    page = caller.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/"), address
        answer = caller.get(address)
        assert answer.status_code == 200
        assert answer.content
    assert "<script>" not in page  # the security policy would not run it
