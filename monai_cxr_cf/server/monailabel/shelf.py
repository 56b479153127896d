# SPDX-License-Identifier: Apache-2.0
"""What the MONAI Label routes work with besides the desk: the datastore and the sessions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import JSONResponse

from monai_cxr_cf.dicom.store.pacs import Pacs
from monai_cxr_cf.server.monailabel.datastore import Datastore
from monai_cxr_cf.server.monailabel.sessions import ImageSessions
from monai_cxr_cf.server.monailabel.volumes import suffix_of
from monai_cxr_cf.server.routes.desk import Desk, desk

HEAD = 352
BINARY = {"schema": {"type": "string", "format": "binary"}}
AtDesk = Annotated[Desk, Depends(desk)]


@dataclass(frozen=True)
class Shelf:
    """Images, labels and sessions of one server."""

    datastore: Datastore
    sessions: ImageSessions

    @staticmethod
    def json(data: dict[str, Any]) -> JSONResponse:
        """A JSON answer of a route that may also answer with a file."""
        return JSONResponse(data)


def shelf(request: Request, at: AtDesk) -> Shelf:
    """Dependency: made at its first use and kept for the life of the app."""
    found: Shelf | None = getattr(request.app.state, "shelf", None)
    if found is None:
        found = request.app.state.shelf = _made(at)
    return found


AtShelf = Annotated[Shelf, Depends(shelf)]


def suffix_in(file: Path) -> str:
    """The suffix that fits the content of an uploaded file."""
    with file.open("rb") as stream:
        return suffix_of(stream.read(HEAD))


def _made(at: Desk) -> Shelf:
    settings, pacs = at.settings, None
    if settings.dicomweb is not None:
        pacs = Pacs(settings.dicomweb)
    folder = settings.studies or settings.data / "datastore"
    datastore = Datastore(folder, pacs, settings.limits.stored_bytes)
    return Shelf(datastore, ImageSessions(settings.data / "sessions"))
