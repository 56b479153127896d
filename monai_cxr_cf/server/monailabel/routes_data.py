# SPDX-License-Identifier: Apache-2.0
"""The /datastore routes of MONAI Label: list, upload and download images and labels."""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, UploadFile
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.server.answers import ERRORS
from monai_cxr_cf.server.monailabel import volumes
from monai_cxr_cf.server.monailabel.datastore import FINAL
from monai_cxr_cf.server.monailabel.shelf import BINARY, AtDesk, AtShelf, Shelf, suffix_in
from monai_cxr_cf.server.routes.desk import Desk
from monai_cxr_cf.server.uploads import intake

router = APIRouter(prefix="/datastore", responses=ERRORS)
OCTETS = "application/octet-stream"
FILE: dict[int | str, dict[str, Any]] = {200: {"content": {OCTETS: BINARY}}}
LABEL_SUFFIXES = (".nrrd", ".nii.gz", ".nii")
Shape = Literal["all", "train", "stats"]
ImageId = Annotated[str, Query(description="Id of the image.")]
Params = Annotated[str, Form(description="JSON object of the client; not kept.")]


@router.get("/", summary="List images and labels")
def listing(
    shelf: AtShelf,
    *,
    output: Annotated[
        Shape, Query(description="`all` is everything, `train` the labelled, `stats` counts.")
    ] = "stats",
) -> Any:
    """Images and labels by their ids."""
    if output == "all":
        return shelf.datastore.listing()
    return shelf.datastore.pairs() if output == "train" else shelf.datastore.status()


@router.put("/", summary="Upload an image", include_in_schema=False)
@router.put("/image", summary="Upload an image")
async def add_image(
    file: Annotated[UploadFile, Form(description="A radiograph: DICOM, PNG, NRRD or NIfTI.")],
    desk: AtDesk,
    shelf: AtShelf,
    *,
    image: Annotated[str | None, Query(description="Its id; a random one if left out.")] = None,
    params: Params = "{}",
) -> dict[str, str]:
    """Keep an image; it is read once by all rules before that."""
    intake.parse(params or "{}")
    folder = desk.incoming()
    try:
        await desk.receive(file, folder / "upload")
        return {"image": await run_in_threadpool(_keep, desk, shelf, folder, image)}
    finally:
        desk.discard(folder)


@router.get("/image", summary="Download an image", response_class=Response, responses=FILE)
def get_image(image: ImageId, desk: AtDesk, shelf: AtShelf) -> Response:
    """The image as it was uploaded, or as the DICOM store has it."""
    entry = shelf.datastore.image(image)
    name = f"{entry.id}{entry.suffix}"
    if entry.path is not None:
        return FileResponse(entry.path, media_type=OCTETS, filename=name)
    folder = desk.incoming()
    try:
        shelf.datastore.copy(entry, folder / "image")
    except BaseException:
        desk.discard(folder)
        raise
    gone = BackgroundTask(desk.discard, folder)
    return FileResponse(folder / "image", media_type=OCTETS, filename=name, background=gone)


@router.put("/label", summary="Save a label")
async def add_label(
    image: ImageId,
    label: Annotated[UploadFile, Form(description="A label map: NRRD or NIfTI.")],
    desk: AtDesk,
    shelf: AtShelf,
    *,
    tag: Annotated[str, Query(description="Under which tag.")] = FINAL,
    params: Params = "{}",
) -> dict[str, str]:
    """Keep a label map of an image, in place of an earlier one of this tag."""
    intake.parse(params or "{}")
    folder = desk.incoming()
    try:
        await desk.receive(label, folder / "upload")
        kept = await run_in_threadpool(
            _keep_label, desk, shelf, folder=folder, image=image, tag=tag or FINAL
        )
    finally:
        desk.discard(folder)
    return {"image": image, "label": kept}


@router.get("/label", summary="Download a label", response_class=Response, responses=FILE)
def get_label(
    label: Annotated[str, Query(description="Id of the label, which is its image's.")],
    shelf: AtShelf,
    *,
    tag: Annotated[str, Query(description="Its tag.")] = FINAL,
) -> Response:
    """The label map as it was saved."""
    path = shelf.datastore.label(label, tag)
    return FileResponse(path, media_type=OCTETS, filename=path.name)


def _keep(desk: Desk, shelf: Shelf, folder: Path, name: str | None) -> str:
    sent = folder / "upload"
    suffix = suffix_in(sent)
    trial = folder / "trial"
    trial.mkdir()
    desk.decoder.call(volumes.prepare, str(sent), suffix, str(trial))
    return shelf.datastore.add(name, sent, suffix)


def _keep_label(desk: Desk, shelf: Shelf, *, folder: Path, image: str, tag: str) -> str:
    shelf.datastore.image(image)
    sent = folder / "upload"
    suffix = suffix_in(sent)
    if suffix not in LABEL_SUFFIXES:
        raise UnreadableInput(
            "The label is neither NRRD nor NIfTI.", code="label_format", hint="Save it as .nrrd."
        )
    named = sent.rename(folder / f"label{suffix}")
    desk.decoder.call(volumes.check_label, str(named), None)
    return shelf.datastore.add_label(image, tag, named, suffix)
