# SPDX-License-Identifier: Apache-2.0
"""POST /infer/{model} as MONAI Label clients call it: organ masks as an NRRD label map.

The image comes as a file, by session or by id; a ``segment`` job finds the organs in the worker;
the answer carries the geometry of the image.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

import numpy as np
from fastapi import APIRouter, Form, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from monai_cxr_cf.errors import (
    BadRequest,
    ComponentMissing,
    CxrError,
    ResourceExhausted,
    UnsupportedImage,
)
from monai_cxr_cf.server.answers import ERRORS
from monai_cxr_cf.server.monailabel import volumes
from monai_cxr_cf.server.monailabel.shelf import BINARY, AtDesk, AtShelf, Shelf, suffix_in
from monai_cxr_cf.server.queue.jobs import DONE, SEGMENT, Submission
from monai_cxr_cf.server.refusals import Busy, NotFound
from monai_cxr_cf.server.routes.desk import Desk
from monai_cxr_cf.server.uploads import intake

router = APIRouter(prefix="/infer", responses=ERRORS)
LABELS = {"right lung": 1, "left lung": 2, "heart": 3}
MODELS = {
    "cxr_organs": ("hybridgnet", "Lungs and heart by a landmark network."),
    "cxr_organs_unet": ("unet", "Lungs and heart by a U-Net."),
}
WAIT_S = 300.0
# What the plugins of Slicer and OHIF add to every call, and what of it means something here.
CHOICES: dict[str, tuple[Any, ...]] = {
    "result_extension": (".nrrd",),
    "result_dtype": ("uint8", "uint16"),
    "result_compress": (True, False),
    "restore_label_idx": (True, False),
}
UNREAD = ("client_id", "device", "model")
Output = Literal["image", "json", "all"]


@dataclass(frozen=True)
class Asked:
    """One call, its image already on disk."""

    model: str
    params: Mapping[str, Any]
    folder: Path  # of ``incoming``
    file: Path  # the image as it was sent
    suffix: str


def models() -> dict[str, Any]:
    """What /info/ says of the models."""
    common = {"type": "segmentation", "labels": LABELS, "dimension": 2, "config": {}}
    return {name: {**common, "description": text} for name, (_, text) in MODELS.items()}


class Which(BaseModel):
    """Which image, and what to answer with."""

    image: str = Field("", description="Id of an image of the datastore.")
    session_id: str = Field("", description="Or a session with an image.")
    output: Output | None = Field(None, description="Left out: multipart of both.")


class InferForm(BaseModel):
    """The client's settings, and perhaps the image itself."""

    params: str = Field("{}", description="JSON object of the client's settings.")
    file: UploadFile | None = Field(None, description="The image itself.")
    label: UploadFile | None = Field(None, description="Not taken by these models.")


@router.post("/{model}", summary="Find lungs and heart, for MONAI Label clients",
             response_class=Response,
             responses={200: {"content": {"multipart/form-data": BINARY, "application/json": {},
                                          "application/octet-stream": BINARY}}})  # fmt: skip
async def infer(
    model: Annotated[str, InPath(description="A model of /info/.")],
    which: Annotated[Which, Query()],
    form: Annotated[InferForm, Form(media_type="multipart/form-data")],
    desk: AtDesk,
    shelf: AtShelf,
) -> Response:
    """Label map and JSON as multipart, or one of them; right lung 1, left lung 2, heart 3."""
    if model not in MODELS:
        raise NotFound("There is no such model.", hint=f"One of: {', '.join(MODELS)}.")
    if form.label is not None:
        raise BadRequest("These models take no label.", hint="Leave the field 'label' out.")
    settings = checked(form.params)
    folder = desk.incoming()
    try:
        sent = folder / "upload"
        if form.file is not None:
            await desk.receive(form.file, sent)
        else:
            await run_in_threadpool(_found, shelf, which.image, which.session_id, sent)
        asked = Asked(model, settings, folder, sent, suffix_in(sent))
        return await run_in_threadpool(_answer, desk, asked, which.output or "all")
    finally:
        desk.discard(folder)


def checked(text: str) -> dict[str, Any]:
    """The client's params; unknown ones are refused, for they would change nothing.

    Raises:
        BadRequest: not a JSON object, an unknown key, a value that is not offered.
    """
    params = intake.parse(text or "{}")
    for key, value in params.items():
        if key in UNREAD:
            continue
        if key not in CHOICES:
            raise BadRequest(
                "params holds a key that means nothing here.",
                code="unknown_param",
                hint=f"Known: {', '.join((*CHOICES, *UNREAD))}.",
            )
        if not any(type(value) is type(choice) and value == choice for choice in CHOICES[key]):
            offered = ", ".join(map(str, CHOICES[key]))
            raise BadRequest(f"params.{key} is not offered.", hint=f"One of: {offered}.")
    return params


def _found(shelf: Shelf, image: str, session: str, target: Path) -> None:
    """The image of a session or of the datastore, copied."""
    if session:
        shutil.copyfile(shelf.sessions.image(session), target)
    elif image:
        shelf.datastore.copy(shelf.datastore.image(image), target)
    else:
        raise BadRequest(
            "No image is named.", hint="Send the field file, or the query image or session_id."
        )


def _answer(desk: Desk, asked: Asked, output: str) -> Response:
    began = time.monotonic()
    made = asked.folder / "job"
    made.mkdir()
    ready = desk.decoder.call(volumes.prepare, str(asked.file), asked.suffix, str(made))
    with (made / "source").open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    request = {"segmenter": MODELS[asked.model][0], "reading": ready["reading"]}
    plain = intake.segment_request(request, desk.settings)
    prepared = time.monotonic()
    labels = _organs(desk, Submission(SEGMENT, plain, made, {"source": digest}))
    found = time.monotonic()
    result = asked.folder / "labels.nrrd"
    dtype = asked.params.get("result_dtype", "uint8")
    packed = asked.params.get("result_compress", True)
    volumes.write_labels(labels, ready["geometry"], result, dtype=dtype, packed=packed)
    end = time.monotonic()
    seconds = {"pre": prepared - began, "infer": found - prepared, "invert": 0.0, "post": 0.0}
    seconds |= {"write": end - found, "total": end - began}
    body = {
        "label_names": LABELS,
        "latencies": {**{k: round(v, 2) for k, v in seconds.items()}, "transform": {}},
        "centroids": volumes.centroids(labels),
    }
    return _response(body, result.read_bytes(), output)


def _organs(desk: Desk, submission: Submission) -> np.ndarray:
    """H x W labels by a job of the worker; an earlier equal one is used."""
    from PIL import Image

    job, _ = desk.submit(submission)
    job = desk.wait(job.id, WAIT_S)
    if not job.over:
        desk.store.cancel(job.id)
        raise Busy("The worker is busy with other jobs.", code="busy", hint="Try again later.")
    if job.state != DONE:
        raise _failure(job.error or {})
    file = next(f for f in desk.store.files(job.id) if f.role == "labels")
    with Image.open(file.path) as picture:
        return np.asarray(picture)


def _failure(error: Mapping[str, str]) -> CxrError:
    """The job's error with the status of its kind; what is not known is the image's fault."""
    code = error.get("code", "internal")
    kinds: tuple[type[CxrError], ...] = (ComponentMissing, ResourceExhausted, BadRequest, CxrError)
    kind = next((k for k in kinds if k.code == code), UnsupportedImage)
    if code == "worker_crashed":
        kind = CxrError
    told = error.get("message", "The job ended early.")
    return kind(told, code=code, hint=error.get("hint", ""))


def _response(body: Mapping[str, Any], picture: bytes, output: str) -> Response:
    if output == "json":
        return Response(json.dumps(body), media_type="application/json")
    name = f"{uuid4().hex}.nrrd"
    if output == "image":
        named = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(picture, media_type="application/octet-stream", headers=named)
    edge = uuid4().hex
    parts = (
        ('name="params"', "application/json", json.dumps(body).encode()),
        (f'name="image"; filename="{name}"', "application/octet-stream", picture),
    )
    sent = b"".join(
        f"--{edge}\r\nContent-Disposition: form-data; {place}\r\nContent-Type: {kind}\r\n\r\n"
        .encode() + data + b"\r\n"
        for place, kind, data in parts
    )  # fmt: skip
    whole = sent + f"--{edge}--\r\n".encode()
    return Response(whole, media_type=f"multipart/form-data; boundary={edge}")
