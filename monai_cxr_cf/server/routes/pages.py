# SPDX-License-Identifier: Apache-2.0
"""The web page for people at ``/``: static files of this package, no build, no other host.

It holds no data; what it shows it fetches from the native routes, with the key if there is one.
"""

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from monai_cxr_cf.server.access.security import HEADERS

AT = "/assets/page"
POLICY = "content-security-policy"
FOLDER = Path(str(resources.files("monai_cxr_cf") / "server" / "page"))
router = APIRouter(include_in_schema=False)


@router.get("/")
def page() -> FileResponse:
    """The page."""
    # A report opened from here inherits the policy, and styles itself.
    policy = f"{HEADERS[POLICY]}; style-src 'self' 'unsafe-inline'"
    return FileResponse(FOLDER / "index.html", media_type="text/html", headers={POLICY: policy})


@router.get("/favicon.ico")
def icon() -> FileResponse:
    """For browsers that ask without having read the page."""
    return FileResponse(FOLDER / "icon.svg", media_type="image/svg+xml")


def mount(app: FastAPI) -> None:
    """Serve the page's script, style and icon below /assets/page."""
    app.mount(AT, StaticFiles(directory=FOLDER), name="page assets")
