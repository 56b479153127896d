# SPDX-License-Identifier: Apache-2.0
"""The MONAI-Label-compatible routes: facts, key, sessions, next image (docs/server.md 4).

Masks only: stock clients take every picture they get for a label map, so counterfactuals go
through the native routes. ``routes_infer`` and ``routes_data`` hold the other routes.
"""

import random
from typing import Annotated, Any

from fastapi import APIRouter, Body, File, Form, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from monai_cxr_cf import __version__
from monai_cxr_cf.errors import BadRequest, RemoteFailure
from monai_cxr_cf.server.access.security import key_matches
from monai_cxr_cf.server.answers import ERRORS
from monai_cxr_cf.server.monailabel import routes_data, routes_infer
from monai_cxr_cf.server.monailabel.datastore import checksum
from monai_cxr_cf.server.monailabel.shelf import BINARY, AtDesk, AtShelf, suffix_in
from monai_cxr_cf.server.refusals import NotFound, Unauthorised

TAG = "MONAI Label"
router = APIRouter(responses=ERRORS)
STRATEGIES = {
    "first": "The first image, by id, without a final label.",
    "random": "Any image without a final label.",
}
SessionId = Annotated[str, InPath(description="Id of a session, as PUT /session/ gave it.")]


@router.get("/info/", tags=[TAG], summary="What this server offers, for MONAI Label clients")
def info(shelf: AtShelf) -> dict[str, Any]:
    """Models, labels, strategies and the state of the datastore."""
    return {
        "name": "monai_cxr_cf",
        "description": "Lungs and heart in chest radiographs. For research, never for diagnosis.",
        "version": __version__,
        "labels": list(routes_infer.LABELS),
        "models": routes_infer.models(),
        "trainers": {},
        "strategies": {name: {"description": text} for name, text in STRATEGIES.items()},
        "scoring": {},
        "train_stats": {},
        "datastore": _shelf_status(shelf),
    }


def _shelf_status(shelf: AtShelf) -> dict[str, Any]:
    """A DICOM store that is down must not keep clients from the models; it is said, though."""
    try:
        return shelf.datastore.status()
    except RemoteFailure as error:
        return {"total": 0, "completed": 0, "label_tags": {}, "error": str(error)}


@router.get("/auth/", tags=[TAG], summary="Is a key needed?")
def auth(desk: AtDesk) -> dict[str, bool]:
    """Whether clients must log in: yes when an API key is set."""
    return {"enabled": desk.settings.key is not None}


@router.post("/auth/token", tags=[TAG], summary="Log in; the password is the API key")
def token(
    password: Annotated[str, Form(max_length=4096, description="The API key.")],
    desk: AtDesk,
    *,
    username: Annotated[str, Form(max_length=256, description="Not looked at.")] = "",
    grant_type: Annotated[str, Form(max_length=64, description="`password`.")] = "password",
) -> dict[str, str | None]:
    """The token for the Authorization header; it is the key itself."""
    if desk.settings.key is None:
        return {"token_type": None, "access_token": None}
    if not key_matches(desk.settings, password):
        raise Unauthorised("The password is wrong.", hint="The password is the API key.")
    return {"token_type": "Bearer", "access_token": password}


@router.get("/auth/token/valid", tags=[TAG], summary="Is my token good?")
def valid() -> dict[str, str]:
    """200 for a good token; the guard before every route answers 401 for any other."""
    return {"username": "api-key"}


@router.put("/session/", tags=[TAG], summary="Keep an image for a while")
async def add_session(
    files: Annotated[list[UploadFile], File(description="One image.")],
    desk: AtDesk,
    shelf: AtShelf,
    *,
    uncompress: Annotated[bool, Query(description="Not offered: no archives.")] = False,
    expiry: Annotated[int, Query(ge=0, le=86400, description="Seconds; 0 is an hour.")] = 0,
) -> dict[str, Any]:
    """Keep an image under a random id until it was not used for an hour."""
    if uncompress or len(files) != 1:
        raise BadRequest(
            "A session takes one image, not an archive or several files.",
            code="one_image",
            hint="Send the radiograph itself.",
        )
    folder = desk.incoming()
    try:
        file = folder / "upload"
        await desk.receive(files[0], file)
        suffix = suffix_in(file)
        facts = await run_in_threadpool(shelf.sessions.add, file, suffix, expiry=expiry)
    finally:
        desk.discard(folder)
    return {"session_id": facts["name"], "session_info": facts}


@router.get("/session/{id}", tags=[TAG], summary="A session, or its image",
            responses={200: {"content": {"application/octet-stream": BINARY}}})  # fmt: skip
def get_session(
    id: SessionId,
    shelf: AtShelf,
    *,
    update_ts: Annotated[bool, Query(description="Count this as a use.")] = False,
    image: Annotated[bool, Query(description="Return the image itself.")] = False,
) -> Response:
    """The facts of a session; its image with ``image=true``."""
    facts = shelf.sessions.get(id, touch=update_ts)
    if not image:
        return shelf.json(facts)
    path = shelf.sessions.image(id)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


@router.delete("/session/{id}", tags=[TAG], summary="Forget a session")
def remove_session(id: SessionId, shelf: AtShelf) -> dict[str, Any]:
    """Remove the session and its image."""
    return shelf.sessions.remove(id)


@router.post("/activelearning/{strategy}", tags=[TAG], summary="Which image next?")
def next_sample(
    strategy: Annotated[str, InPath(description="`first` or `random`.")],
    shelf: AtShelf,
    *,
    params: Annotated[
        dict[str, Any] | None, Body(description="Sent by clients; not looked at.")
    ] = None,
) -> dict[str, Any]:
    """An image without a final label; an empty object when all have one."""
    if strategy not in STRATEGIES:
        raise NotFound("There is no such strategy.", hint=f"One of: {', '.join(STRATEGIES)}.")
    waiting = shelf.datastore.unlabelled()
    if not waiting:
        return {}
    name = waiting[0] if strategy == "first" else random.choice(waiting)
    entry = shelf.datastore.image(name)
    found = {"id": name, "name": f"{name}{entry.suffix}", "ts": int(entry.stored)}
    return found if entry.path is None else {**found, "checksum": checksum(entry.path)}


router.include_router(routes_infer.router, tags=[TAG])
router.include_router(routes_data.router, tags=[TAG])
