# SPDX-License-Identifier: Apache-2.0
"""Every answer that is an error: one JSON body of code, message and hint, whatever went wrong."""

import logging
import re
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from monai_cxr_cf.errors import CxrError, UnreadableInput
from monai_cxr_cf.runs.failures import typed

log = logging.getLogger(__name__)
FLAG = re.compile(r"--(allow-[a-z-]+|max-pixels|max-bytes|min-side|ignore-voi|polarity)")
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
NOT_A_FORM = UnreadableInput(
    "The body is not of a media type that this route takes.",
    code="media_type",
    hint="Send multipart/form-data; see /docs.",
)
OURS = ("--allow-host", "--allow-origin", "--allow-store")


class ErrorBody(BaseModel):
    """Why a request was refused or failed."""

    code: str = Field(description="Stable identifier for programs, e.g. `unsupported_image`.")
    message: str = Field(description="One sentence: what was found and what was expected.")
    hint: str = Field(description="What to do next; may be empty.")


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "The caller's mistake; the body says which."},
    "5XX": {
        "model": ErrorBody,
        "description": "Not now or not here: a missing component (503), no room (507), "
        "a failing DICOM store (502), or a bug (500).",
    },
}


def body_of(error: CxrError) -> dict[str, str]:
    """The JSON body; the reader's flags are named as the fields of a request."""
    return {name: _as_fields(text) for name, text in error.as_dict().items()}


def answer(error: CxrError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response to an error."""
    more = dict(headers or {})
    if error.http_status == HTTPStatus.UNAUTHORIZED:
        more["www-authenticate"] = "Bearer"
    if error.http_status == HTTPStatus.TOO_MANY_REQUESTS:
        more["retry-after"] = "30"
    return JSONResponse(body_of(error), error.http_status, more)


def install(app: FastAPI) -> None:
    """Turn our errors, FastAPI's validation errors and the framework's into that body."""
    app.add_exception_handler(CxrError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)


def unexpected(error: BaseException) -> CxrError:
    """Any exception as one of ours; logged by kind and place, for its text may name a patient."""
    found = typed(error)
    if not isinstance(error, CxrError):
        last = traceback.extract_tb(error.__traceback__)[-1:]
        where = f"{last[0].name}:{last[0].lineno}" if last else "unknown"
        log.error("unexpected %s in %s", type(error).__name__, where)
        found.hint = "It is a bug of this server; its log says where."
    return found


async def _ours(request: Request, error: Exception) -> JSONResponse:
    return answer(unexpected(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI refused: where and why, without the value."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    expected = getattr(request.scope.get("route"), "body_field", None)
    if expected is not None and kind not in FORMS and isinstance(expected.field_info, Form):
        return answer(NOT_A_FORM)
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ())) or "request"
    refused = CxrError(
        f"{where}: {first.get('msg', 'not valid')}.", code="bad_request", hint="See /docs."
    )
    return JSONResponse(body_of(refused), HTTPStatus.BAD_REQUEST)


async def _framework(request: Request, error: Exception) -> JSONResponse:
    """404, 405 and whatever else the framework says with a status alone."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_")
    hints = {404: "See /docs for the routes.", 405: "See /docs for the methods of this route."}
    body = {"code": code, "message": f"{phrase}.", "hint": hints.get(status, "See /docs.")}
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse(body, status, dict(headers or {}))


def _as_fields(text: str) -> str:
    def field(found: re.Match[str]) -> str:
        if found[0] in OURS:
            return found[0]
        return f"reading.{found[1].replace('-', '_')}"

    return FLAG.sub(field, text)
