# SPDX-License-Identifier: Apache-2.0
"""The native job routes: submit, list, follow, cancel (docs/server.md 3)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Response, UploadFile
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.server.answers import ERRORS
from monai_cxr_cf.server.queue.jobs import AUDIT, EDIT, PARTS, SEGMENT, Submission
from monai_cxr_cf.server.routes.desk import Desk, desk
from monai_cxr_cf.server.routes.models import JobBody, JobList
from monai_cxr_cf.server.uploads import intake
from monai_cxr_cf.server.uploads.audit_order import (
    audit_request,
    check_amount,
    classifier_digest,
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=ERRORS)
EXAMPLE = '{"prompt": "moderate left pleural effusion", "preset": "fast"}'
NDJSON = "application/x-ndjson"
HIGHEST = 2**62  # what SQLite counts with

AtDesk = Annotated[Desk, Depends(desk)]
Id = Annotated[str, InPath(description="Id of a job, as POST /v1/jobs gave it.")]
StateName = Literal["queued", "running", "done", "failed", "cancelled", "expired"]


class JobForm(BaseModel):
    """A request and its image: an upload, or three UIDs of the configured DICOM store."""

    model_config = ConfigDict(extra="forbid")

    request: str = Field(
        description="JSON after `request.schema.json` (see /v1/capabilities), without `source`, "
        "`masks` and `roi`: a server opens no path of a caller.",
        examples=[EXAMPLE],
    )
    dicom: UploadFile | None = Field(
        None,
        description="The radiograph: one DICOM CR, DX or SC file; PNG or JPEG if the request's "
        "`reading.allow_raster` is true.",
    )
    masks: UploadFile | None = Field(
        None,
        description="Your organ masks instead of the segmenter's: SEG, NRRD, NIfTI, PNG, JPEG.",
    )
    roi: UploadFile | None = Field(
        None, description="Your region instead of the one from words, in the same formats."
    )
    study: str | None = Field(None, description="Study Instance UID in the DICOM store.")
    series: str | None = Field(None, description="Series Instance UID in the DICOM store.")
    instance: str | None = Field(None, description="SOP Instance UID in the DICOM store.")
    radiographs: list[UploadFile] = Field(
        [],
        description="Of an `audit`, repeated: DICOM, PNG or JPEG, one a patient.",
    )
    kind: Literal["edit", "segment", "audit"] = Field(
        "edit",
        description="`edit` makes a counterfactual; `segment` finds organs and region; `audit` "
        "tells what a classifier looks at (its request: `audit` of /v1/capabilities).",
    )


CHECKS = {EDIT: intake.edit_request, SEGMENT: intake.segment_request, AUDIT: audit_request}
EQUAL: dict[int | str, dict[str, Any]] = {
    200: {"model": JobBody, "description": "An equal job was there: it is not run again."}
}


@router.post("", status_code=202, summary="Submit a job", responses=EQUAL)
async def submit(
    form: Annotated[JobForm, Form(media_type="multipart/form-data")],
    response: Response,
    desk: AtDesk,
) -> JobBody:
    """Check the request and the image, then queue the job; 202 with its id.

    The same image and request give the same job (200) while that waits, runs or is done; with
    `uids` `random` each call makes a new one.
    """
    request = CHECKS[form.kind](intake.parse(form.request), desk.settings)
    job, new = await run_in_threadpool(desk.submit, await _received(form, request, desk))
    response.status_code = 202 if new else 200
    response.headers["location"] = f"/v1/jobs/{job.id}"
    return JobBody.of(job)


@router.get("", summary="List jobs")
def list_jobs(
    desk: AtDesk,
    *,
    state: Annotated[StateName | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
    skip: Annotated[int, Query(ge=0, le=HIGHEST, description="Leave out the newest.")] = 0,
) -> JobList:
    """Jobs, the newest first."""
    found = desk.store.list(state, limit=limit, skip=skip)
    return JobList(jobs=[JobBody.of(job) for job in found], counts=desk.store.counts())


@router.get("/{id}", summary="State of a job")
def get_job(id: Id, desk: AtDesk) -> JobBody:
    """State, place in the queue, stage and steps; the result when it is done."""
    return JobBody.of(desk.store.get(id))


@router.get("/{id}/events", summary="Events of a job", response_class=Response,
            responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}}})  # fmt: skip
def get_events(
    id: Id,
    desk: AtDesk,
    *,
    after: Annotated[int, Query(ge=0, le=HIGHEST, description="Only later ones.")] = 0,
) -> Response:
    """One JSON object a line, the events of the local runner, each with its number `n`.

    Ask again with `after` set to the last number; the last event is `result` or `error`.
    """
    lines = desk.store.events(id, after)
    return Response("".join(f"{line}\n" for line in lines), media_type=NDJSON)


@router.delete("/{id}", summary="Cancel a job, or remove its files")
def cancel(id: Id, desk: AtDesk) -> JobBody:
    """Stop a job: at once if it waits, at its next step if it runs.

    A job that is over loses its files now instead of when it expires.
    """
    return JobBody.of(desk.store.cancel(id))


async def _received(form: JobForm, request: dict[str, object], desk: Desk) -> Submission:
    """The files of a form in a folder of their own."""
    uids = [uid for uid in (form.study, form.series, form.instance) if uid is not None]
    digests: dict[str, str] = {}
    if form.kind == AUDIT:
        named = desk.settings.classifiers()[str(request["model"])]
        digests["classifier"] = await run_in_threadpool(classifier_digest, *named)
        check_amount(request, len(form.radiographs) or 1, desk.settings.limits.audit_edits)
        if form.masks or form.roi:
            raise BadRequest("An audit takes no masks and no region.")
    if form.radiographs:
        if form.kind != AUDIT or form.dicom is not None or uids:
            raise BadRequest("radiographs is a field of audits, instead of dicom.")
        return await _several(form, request, desk, digests)
    if (form.dicom is None) == (not uids) or len(uids) not in (0, 3):
        raise BadRequest(
            "A job needs an image: either the field dicom, or study, series and instance.",
            hint="Upload one file (of an audit: several radiographs), or name one in the store.",
        )
    folder = desk.incoming()
    try:
        if form.dicom is not None:
            digests["source"] = await desk.receive(form.dicom, folder / "source")
        else:
            digests["source"] = await run_in_threadpool(desk.fetched, uids, folder / "source")
        for part in PARTS[1:]:
            upload: UploadFile | None = getattr(form, part)
            if upload is not None:
                digests[part] = await desk.receive_mask(upload, folder / part)
        return Submission(form.kind, request, folder, digests)
    except BaseException:
        desk.discard(folder)
        raise


async def _several(form: JobForm, request: Any, desk: Desk, digests: dict[str, str]) -> Submission:
    """The radiographs of an audit in a folder of their own."""
    folder = desk.incoming()
    try:
        (folder / "source").mkdir()
        for number, upload in enumerate(form.radiographs, 1):
            name = f"source/{number:04d}"
            digests[name] = await desk.receive(upload, folder / name)
        return Submission(AUDIT, request, folder, digests)
    except BaseException:
        desk.discard(folder)
        raise
