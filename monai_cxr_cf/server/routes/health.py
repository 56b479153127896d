# SPDX-License-Identifier: Apache-2.0
"""Is the server alive, is it ready, what can it do, how is it doing: for programs and probes."""

from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response

from monai_cxr_cf.catalogue.row import FOLDERS
from monai_cxr_cf.request import schema
from monai_cxr_cf.runs.facts import collect
from monai_cxr_cf.server.answers import ERRORS
from monai_cxr_cf.server.routes.desk import Desk
from monai_cxr_cf.server.routes.jobs import AtDesk
from monai_cxr_cf.server.routes.models import Capabilities, Health
from monai_cxr_cf.server.uploads.audit_order import AuditOrder

router = APIRouter(tags=["server"], responses=ERRORS)


@router.get("/healthz", summary="Alive?")
def healthz() -> Health:
    """The web process answers; needs no model."""
    return Health(status="ok", detail="The web process answers.")


@router.get("/readyz", summary="Ready?", responses={503: {"model": Health}})
def readyz(response: Response, desk: AtDesk) -> Health:
    """The worker lives and its weights are loaded; 503 while they are not. Jobs wait meanwhile."""
    if desk.store.worker() is not None:
        return Health(status="ok", detail="The worker has its weights loaded.")
    response.status_code = 503
    return Health(status="starting", detail="The worker is not ready; jobs wait until it is.")


@router.get("/v1/capabilities", summary="What can be asked for")
def get_capabilities(desk: AtDesk) -> Capabilities:
    """Findings, presets, limits, versions, weights with their licences, the request's schema."""
    return Capabilities(**capabilities(desk))


PLAIN: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response, responses=PLAIN)
def get_metrics(request: Request) -> Response:
    """Requests by route, method and status, their seconds; jobs by state; the worker."""
    text, kind = request.app.state.metrics.exposed()
    return Response(text, media_type=kind)


@cache
def _about() -> dict[str, Any]:
    """What ``cxr-cf info`` says; asked once, for it digests the weights."""

    return collect()


def capabilities(desk: Desk) -> dict[str, Any]:
    """What this server can do, as JSON."""

    settings, about = desk.settings, _about()
    others = [name for name in settings.backbones if name != settings.backbone]
    same = ("findings", "zones", "unproven_findings", "presets", "versions", "weights")
    return {
        **{name: about[name] for name in (*same, "intended_use")},
        "methods": {k: v for k, v in about["methods"].items() if not FOLDERS & set(v["needs"])},
        "version": about["versions"]["monai-cxr-cf"],
        "backbones": [settings.backbone, *others],
        "segmenters": ["hybridgnet", "unet"],
        "audit": {"models": [*settings.classifiers()], "schema": AuditOrder.model_json_schema()},
        "limits": {name: float(value) for name, value in vars(settings.limits).items()},
        "worker": desk.store.worker(),
        "dicomweb": settings.dicomweb is not None,
        "store": settings.allow_store,
        "request_schema": schema(),
    }
