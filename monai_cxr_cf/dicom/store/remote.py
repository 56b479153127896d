# SPDX-License-Identifier: Apache-2.0
"""The way to a DICOMweb store: a safe address, a patient session, failures without foreign words.

Used by ``pacs``. Credentials come from the environment; TLS is always verified.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.errors import BadRequest, RemoteFailure

if TYPE_CHECKING:
    from requests import Session

UID = re.compile(r"[0-9.]{1,64}")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CONNECT_S, ANSWER_S = 10.0, 60.0
USER, PASSWORD, TOKEN = "CXR_CF_PACS_USER", "CXR_CF_PACS_PASSWORD", "CXR_CF_PACS_TOKEN"


def check_url(url: str) -> str:
    """The URL without a final slash; BadRequest if it is not safe to use."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise BadRequest(
            "A DICOM store is named by its http or https root URL.",
            code="store_url",
            hint="Such as https://pacs.example/dicom-web.",
        )
    if parts.username or parts.password:
        raise BadRequest(
            "Credentials do not belong in a URL: other users of this machine can read it.",
            code="store_url",
            hint=f"Set {USER} and {PASSWORD}, or {TOKEN}.",
        )
    return url.rstrip("/")


def session_for(url: str) -> "Session":
    """An HTTP session with time limits, TLS verified, credentials from the environment."""
    from requests import PreparedRequest, Response, Session
    from requests.adapters import HTTPAdapter

    class Patient(HTTPAdapter):
        """Waits so long and no longer; the library itself sets no time limit."""

        def send(self, request: PreparedRequest, *args: Any, **more: Any) -> Response:
            more["timeout"] = more.get("timeout") or (CONNECT_S, ANSWER_S)
            return super().send(request, *args, **more)

    session = Session()
    session.mount("http://", Patient())
    session.mount("https://", Patient())
    session.trust_env = False  # no .netrc: credentials are named, not found
    user, token = os.environ.get(USER), os.environ.get(TOKEN)
    parts = urlsplit(url)
    if (user or token) and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise BadRequest(
            "Credentials would travel in the clear to a store behind plain http.",
            code="store_url",
            hint="Use https, or unset the credentials.",
        )
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    elif user:
        session.auth = (user, os.environ.get(PASSWORD, ""))
    return session


@contextmanager
def remote() -> Iterator[None]:
    """Failures of the store as ours; their texts are dropped, for they may name patients."""
    from requests import HTTPError, JSONDecodeError, RequestException

    try:
        with withheld():
            yield
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else "?"
        raise RemoteFailure(
            f"The DICOM store answered with status {status}.",
            code="store_refused",
            hint="401 and 403: check the credentials.",
        ) from None
    except JSONDecodeError:
        raise RemoteFailure(
            "The DICOM store's answer cannot be parsed; expected DICOM JSON.", code="store_answer"
        ) from None
    except (RequestException, OSError, ValueError) as error:
        raise RemoteFailure(
            f"The DICOM store cannot be used ({type(error).__name__}).",
            code="store_unreachable",
            hint="Is its URL right, is it running, is its certificate trusted?",
        ) from None


def check_uids(*uids: str) -> None:
    """UIDs go into addresses: digits and points only; BadRequest if not."""
    if not all(UID.fullmatch(uid) for uid in uids):
        raise BadRequest(
            "study, series and instance must be DICOM UIDs.",
            code="invalid_uid",
            hint="Digits and points, at most 64.",
        )
