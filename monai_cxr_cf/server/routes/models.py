# SPDX-License-Identifier: Apache-2.0
"""The JSON that the native routes answer with, field by field: what /docs shows."""

from typing import Any

from pydantic import BaseModel, Field

from monai_cxr_cf.server.answers import ErrorBody
from monai_cxr_cf.server.queue.jobs import Job, ResultFile

STATE = (
    "`queued`, `running`, `done`, `failed`, `cancelled`, or `expired` when its files were removed."
)


class JobBody(BaseModel):
    """One job as it stands."""

    id: str = Field(description="Random identifier; use it in the other routes.")
    kind: str = Field(description="`edit`, `segment` or `audit`.")
    state: str = Field(description=STATE)
    position: int | None = Field(description="Place in the queue, 1 is next; 0 runs; null is over.")
    stage: str | None = Field(
        description="`read`, `segment`, `region`, `sample`, `decode`, `composite` or `write`; of "
        "an audit `rows` (edits) and `scores`."
    )
    step: int | None = Field(description="Steps of the stage that are done.")
    total: int | None = Field(description="Steps of the stage.")
    eta_s: float | None = Field(description="Seconds left in the stage, as far as known.")
    created: float = Field(description="When it was submitted, seconds since 1970.")
    started: float | None = Field(description="When it began to run.")
    finished: float | None = Field(description="When it ended.")
    expires: float | None = Field(description="When its files are removed.")
    attempts: int = Field(description="How often it was started; 2 if the worker died meanwhile.")
    cancel_asked: bool = Field(description="It is asked to stop and does so at its next step.")
    error: ErrorBody | None = Field(description="Why it ended early.")
    result: dict[str, Any] | None = Field(
        description="Files, `metrics` (`outside_max_diff` is the largest change outside region and "
        "band, 0), `verdict` and seconds, as in the runner's result event. Of a failed `segment` "
        "job: the masks that may be corrected. Of an audit: `page_one`."
    )

    @classmethod
    def of(cls, job: Job) -> "JobBody":
        """The public fields of a job: neither its request nor its paths."""
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobBody] = Field(description="The jobs asked for.")
    counts: dict[str, int] = Field(description="How many jobs there are in each state.")


class FileBody(BaseModel):
    """One file of a finished job."""

    index: int = Field(description="Its number: GET /v1/jobs/{id}/files/{index}.")
    role: str = Field(
        description="`cf`, `diff`, `seg`, `sr`, `preview`, `trace`, `report`, `arrays`; "
        "`view_...` are PNG for a browser; `audit_...` are of an audit."
    )
    name: str = Field(description="Its name in the result folder and in files.zip.")
    media_type: str = Field(description="E.g. `application/dicom`.")
    bytes: int = Field(description="Its size.")
    sha256: str = Field(description="Digest of its bytes.")
    sop_class: str | None = Field(description="SOP Class UID of a DICOM file.")
    series_uid: str | None = Field(description="Its Series Instance UID.")
    sop_uid: str | None = Field(description="Its SOP Instance UID.")
    label: str = Field(description="Seed and severity of a member of a series.")

    @classmethod
    def of(cls, file: ResultFile) -> "FileBody":
        """The public fields of a file."""
        return cls(**{name: getattr(file, name) for name in cls.model_fields})


class Health(BaseModel):
    """Whether the server can do what it is asked."""

    status: str = Field(description="`ok` or `starting`.")
    detail: str = Field(description="One sentence.")


class Capabilities(BaseModel):
    """What can be asked of this server."""

    version: str = Field(description="Of the package.")
    findings: dict[str, Any] = Field(description="Vocabulary: synonyms, region, code.")
    zones: list[str] = Field(description="Zones that a prompt may name.")
    unproven_findings: list[str] = Field(description="No evidence yet that the weights show them.")
    presets: dict[str, Any] = Field(description="Named sets of dials.")
    methods: dict[str, Any] = Field(description="Who can edit: ours and published editors.")
    backbones: list[str] = Field(description="Names for `backbone`; the first is the default.")
    segmenters: list[str] = Field(description="Names for `segmenter`.")
    audit: dict[str, Any] = Field(description="`models` to audit, `schema` of a request.")
    limits: dict[str, float] = Field(description="What one caller may ask, by name.")
    versions: dict[str, str] = Field(description="Python and the libraries a result depends on.")
    weights: list[dict[str, Any]] = Field(description="File, sha256, bytes and licence.")
    worker: dict[str, Any] | None = Field(description="Device and lock file; null while it starts.")
    dicomweb: bool = Field(description="Whether a DICOM store is configured.")
    store: bool = Field(description="Whether results may be sent to it.")
    request_schema: dict[str, Any] = Field(description="JSON schema of a request.")
    intended_use: str = Field(description="Research only.")
