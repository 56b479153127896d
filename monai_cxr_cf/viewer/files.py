# SPDX-License-Identifier: Apache-2.0
"""Files between the browser and the session: a radiograph in, the files of a run out as a ZIP."""

import asyncio
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application import ViewerApp
    from .session import ViewerSession

LARGEST = 512 << 20  # bytes of an upload
CHUNK = 1 << 16
UPLOAD, RESULT = "/upload", "/result.zip"


def add_routes(router: Any, app: "ViewerApp", session: "ViewerSession") -> None:
    """Declare both."""
    router.add_post(UPLOAD, receiver(app.temp_folder, session.open_file))
    router.add_get(RESULT, giver(app.temp_folder, lambda: session.results))


def receiver(folder: Callable[[], str], opened: Callable[[Path, str], bool]) -> Any:
    """Takes a file from the page: written as it comes, handed on when it is whole.

    Args:
        folder: makes a new folder that nobody else can read.
        opened: takes the file and its name; False if it was refused.
    """
    from aiohttp import web

    async def receive(request: Any) -> Any:
        path, size = Path(folder()) / "upload.dcm", 0
        with path.open("wb") as stream:
            async for chunk in request.content.iter_chunked(CHUNK):
                size += len(chunk)
                if size > LARGEST:
                    raise web.HTTPRequestEntityTooLarge(LARGEST, size)
                stream.write(chunk)
        return web.Response(status=204 if opened(path, request.query.get("name", "")) else 422)

    return receive


def giver(folder: Callable[[], str], results: Callable[[], Path | None]) -> Any:
    """Gives what the run in view wrote."""
    from aiohttp import web

    async def give(request: Any) -> Any:
        found = results()
        if found is None:
            raise web.HTTPNotFound(text="There are no results to save; run first.")
        path = Path(folder()) / "result.zip"
        await asyncio.to_thread(pack, found, path)
        named = {"Content-Disposition": 'attachment; filename="counterfactual.zip"'}
        return web.FileResponse(path, headers=named)

    return give


def pack(folder: Path, path: Path) -> None:
    """A folder's files as a ZIP; DICOM files of pixels do shrink."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(folder.rglob("*")):
            if each.is_file():
                archive.write(each, each.relative_to(folder))
