# SPDX-License-Identifier: Apache-2.0
"""The web page for people and its static files."""

from fastapi import APIRouter, FastAPI

router = APIRouter(include_in_schema=False)


def mount(app: FastAPI) -> None:
    """Serve the static files below /assets."""
