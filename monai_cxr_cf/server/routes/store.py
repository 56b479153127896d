# SPDX-License-Identifier: Apache-2.0
"""Send the results of a job to the configured DICOM store; off unless it is allowed.

A banner goes along (GSPS), for in an archive people meet the images without our report. UIDs
repeat, so sending twice is harmless.
"""

from pathlib import Path

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from monai_cxr_cf.dicom.store.pacs import Pacs
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.server.answers import ERRORS
from monai_cxr_cf.server.refusals import Conflict, Forbidden
from monai_cxr_cf.server.routes.desk import Desk
from monai_cxr_cf.server.routes.jobs import AtDesk, Id

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=ERRORS)
SENT = ("cf", "diff", "seg", "sr")


class StoreOrder(BaseModel):
    """Where to, said once more by the caller."""

    model_config = ConfigDict(extra="forbid")

    destination: str = Field(
        max_length=2048,
        description="Root URL of the DICOM store, exactly as the server was given it: nothing is "
        "sent by a caller who does not know where to.",
        examples=["https://pacs.example/dicom-web"],
    )
    verify: bool = Field(False, description="Fetch each file back and compare its pixels.")


class StoreBody(BaseModel):
    """What the store has taken."""

    stored: int = Field(description="How many files, the banner included.")
    roles: list[str] = Field(description="Their roles: `cf`, `diff`, `seg`, `sr`, `banner`.")
    verified: bool = Field(description="Whether their pixels were compared.")
    warnings: list[str] = Field(description="What the store says of files that it has stored.")


@router.post("/{id}/store", summary="Send the results to the DICOM store")
def store(id: Id, order: StoreOrder, desk: AtDesk) -> StoreBody:
    """Send counterfactuals, difference maps, masks, report and a SYNTHETIC banner by STOW.

    Needs `--allow-store`; `destination` must be the configured store.
    """
    pacs = _allowed(desk, order.destination)
    files = [file for file in desk.store.files(id) if file.role in SENT]
    images = [file.path for file in files if file.role == "cf"]
    if not images:
        raise Conflict("The job made no image.", hint="Only an edit can be stored.")
    folder = desk.incoming()
    try:
        from monai_cxr_cf.dicom.writing.banner import write_banner

        paths: list[Path] = [file.path for file in files]
        paths.append(write_banner(images, folder).path)
        told: list[str] = []
        count = pacs.store(paths, verify=order.verify, warn=told.append)
    finally:
        desk.discard(folder)
    return StoreBody(
        stored=count,
        roles=[*(file.role for file in files), "banner"],
        verified=order.verify,
        warnings=told,
    )


def _allowed(desk: Desk, destination: str) -> "Pacs":
    """The store, if results may go there and the caller means it."""

    settings = desk.settings
    if settings.dicomweb is None:
        raise ComponentMissing(
            "No DICOM store is configured.", hint="cxr-cf serve --dicomweb URL --allow-store"
        )
    if not settings.allow_store:
        raise Forbidden(
            "This server sends nothing to a DICOM store.",
            code="store_off",
            hint="Start it with --allow-store.",
        )
    if destination.rstrip("/") != settings.dicomweb.rstrip("/"):
        raise BadRequest(
            "The destination is not the configured DICOM store.",
            code="destination",
            hint="Name the URL that the server was started with.",
        )
    return Pacs(settings.dicomweb)
