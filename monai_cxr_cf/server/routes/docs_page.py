# SPDX-License-Identifier: Apache-2.0
"""The interactive page at /docs: Swagger UI from an installed package, never from a hub."""

import importlib.util
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from monai_cxr_cf.errors import INSTALL_EXTRA, ComponentMissing

AT = "/assets/docs"
PAGE = f"""\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>monai_cxr_cf API</title>
<link rel="stylesheet" href="{AT}/swagger-ui.css"><link rel="icon" href="{AT}/favicon.png"></head>
<body><div id="swagger-ui"></div>
<script src="{AT}/swagger-ui-bundle.js"></script><script src="/docs.js"></script></body>
</html>
"""
# A file of its own: the content security policy allows no script within a page.
SCRIPT = """\
window.ui = SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true,
  validatorUrl: null, presets: [SwaggerUIBundle.presets.apis]});
"""


def mount(app: FastAPI) -> None:
    """Serve the page, its script and Swagger UI's files."""
    app.mount(AT, StaticFiles(directory=_static()), name="docs assets")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.get("/docs.js", include_in_schema=False)
    def script() -> Response:
        return Response(SCRIPT, media_type="text/javascript")


def _static() -> Path:
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise ComponentMissing(
            "The package fastapi-offline is missing.",
            hint=INSTALL_EXTRA.format("server"),
        )
    return Path(spec.origin).parent / "static"
