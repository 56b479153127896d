# SPDX-License-Identifier: Apache-2.0
"""The web application: settings in, a FastAPI app out; it loads no torch.

The worker process starts and ends with the app; ``guard`` is its outermost layer.
"""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from monai_cxr_cf import __version__
from monai_cxr_cf.dicom.store.pacs import fetcher
from monai_cxr_cf.server import answers
from monai_cxr_cf.server.access.guard import Guard
from monai_cxr_cf.server.access.metrics import Metrics
from monai_cxr_cf.server.monailabel import routes
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.routes import docs_page, files, health, jobs, pages
from monai_cxr_cf.server.routes import store as routes_store
from monai_cxr_cf.server.routes.desk import Desk, Fetch
from monai_cxr_cf.server.settings import Settings
from monai_cxr_cf.server.uploads.isolate import Decoder
from monai_cxr_cf.server.worker.supervise import Supervisor

ABOUT = """\
Counterfactual chest radiographs: a radiograph and a few words in; the edited radiograph, its masks
and a report out, as DICOM. For research, never for diagnosis.

Submit a job with `POST /v1/jobs`, follow `GET /v1/jobs/{id}/events`, fetch
`GET /v1/jobs/{id}/files`. Every error is JSON with `code`, `message` and `hint`.
"""
PARTS = (jobs, files, routes_store, routes, health, pages)


def create_app(settings: Settings, *, fetch: Fetch | None = None, work: bool = True) -> FastAPI:
    """The application.

    Args:
        settings: address, key, folders, limits.
        fetch: gets one instance from a DICOM store; None takes the one of ``settings.dicomweb``.
        work: start the worker process with the app; without it jobs only queue.
    """
    store = Store(settings.data, settings.limits)
    metrics = Metrics(store)
    app = FastAPI(
        title="monai_cxr_cf",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(Supervisor(settings, store) if work else None),
    )
    app.state.desk = Desk(settings, store, Decoder(settings.limits), fetch or _fetch(settings))
    app.state.metrics = metrics
    answers.install(app)
    for part in PARTS:
        app.include_router(part.router)
    docs_page.mount(app)
    pages.mount(app)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type"],
        )
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    return app


def _fetch(settings: Settings) -> Fetch | None:
    if settings.dicomweb is None:
        return None

    found: Fetch = fetcher(settings.dicomweb)
    return found


def _lifespan(supervisor: Supervisor | None):  # type: ignore[no-untyped-def]
    @asynccontextmanager
    async def alive(app: FastAPI) -> AsyncIterator[None]:
        if supervisor is not None:
            await run_in_threadpool(supervisor.start)
            threading.Thread(target=app.state.desk.decoder.warm_up, daemon=True).start()
        yield
        if supervisor is not None:
            await run_in_threadpool(supervisor.stop)
        app.state.desk.store.close()

    return alive
