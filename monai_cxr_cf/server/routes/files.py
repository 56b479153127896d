# SPDX-License-Identifier: Apache-2.0
"""The files of a finished job: their list, one by number, all as a zip archive."""

import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Annotated

from fastapi import APIRouter, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, StreamingResponse

from monai_cxr_cf.server.answers import ERRORS
from monai_cxr_cf.server.refusals import Gone, NotFound
from monai_cxr_cf.server.routes.jobs import HIGHEST, AtDesk, Id
from monai_cxr_cf.server.routes.models import FileBody

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=ERRORS)
CHUNK = 1 << 20
BINARY = {"schema": {"type": "string", "format": "binary"}}
KINDS = ("application/dicom", "image/png", "application/json", "application/octet-stream",
         "text/html", "text/csv")  # fmt: skip
# A report styles itself, and may load and run nothing.
ALONE = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@router.get("/{id}/files", summary="List the files of a job")
def list_files(id: Id, desk: AtDesk) -> list[FileBody]:
    """Files of a finished job; 409 before, 410 after they were removed.

    A `segment` job that failed since no plausible chest was found has its masks, too.
    """
    return [FileBody.of(file) for file in desk.store.files(id)]


@router.get("/{id}/files.zip", summary="All files of a job", response_class=Response,
            responses={200: {"content": {"application/zip": BINARY}}})  # fmt: skip
def get_archive(id: Id, desk: AtDesk) -> Response:
    """One zip archive, its entries named as in the list."""
    files = desk.store.files(id)
    packed = tempfile.TemporaryFile(dir=desk.store.data / "incoming")  # noqa: SIM115
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file.path, file.name)
    size = packed.tell()
    packed.seek(0)
    headers = {"content-disposition": f'attachment; filename="{id}.zip"'}
    headers["content-length"] = str(size)
    return StreamingResponse(_chunks(packed), media_type="application/zip", headers=headers)


@router.get("/{id}/files/{index}", summary="One file of a job", response_class=Response,
            responses={200: {"content": dict.fromkeys(KINDS, BINARY)}})  # fmt: skip
def get_file(
    id: Id,
    index: Annotated[int, InPath(ge=0, le=HIGHEST, description="Number of a file in the list.")],
    desk: AtDesk,
) -> Response:
    """The bytes of one file, under its own media type."""
    files = desk.store.files(id)
    if index >= len(files):
        raise NotFound(f"The job has {len(files)} files.", hint="Numbers begin with 0.")
    file = files[index]
    if not file.path.is_file():
        raise Gone("The file was removed.", hint="Submit the request again.")
    name = file.name.replace("/", "-")
    headers = {"content-disposition": f'inline; filename="{name}"', "etag": f'"{file.sha256}"'}
    if file.media_type == "text/html":
        headers["content-security-policy"] = ALONE
    return FileResponse(file.path, media_type=file.media_type, headers=headers)


def _chunks(packed: IO[bytes]) -> Iterator[bytes]:
    with packed:
        while chunk := packed.read(CHUNK):
            yield chunk
