# SPDX-License-Identifier: Apache-2.0
"""Who may call: host names, origins and the API key; decisions only, ``guard`` carries them out."""

import hmac
from collections.abc import Mapping

from monai_cxr_cf.server.refusals import Forbidden, Unauthorised
from monai_cxr_cf.server.settings import Settings

# Nothing of a patient is there, and a browser cannot send a key with a page it opens.
PUBLIC = frozenset({"/", "/healthz", "/readyz", "/docs", "/docs.js", "/openapi.json"})
PUBLIC |= {"/auth", "/auth/", "/auth/token", "/auth/token/"}
PUBLIC_BELOW = ("/assets/",)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


def admit(settings: Settings, headers: Mapping[str, str], *, method: str, path: str) -> None:
    """Let a request pass, or say why not.

    Args:
        settings: names, origins and key of this server.
        headers: lower-case name to value.
        method: of HTTP; a browser sends no key with its OPTIONS question whether it may call.
        path: the request's path.

    Raises:
        Forbidden: a Host this server does not have (DNS rebinding), or a foreign web page.
        Unauthorised: the key is missing or wrong.
    """
    _check_host(settings, headers.get("host", ""))
    _check_origin(settings, headers)
    if settings.key is None or path in PUBLIC or path.startswith(PUBLIC_BELOW):
        return
    if method == "OPTIONS" and headers.get("origin") in settings.origins:
        return
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key_matches(settings, given.strip()):
        raise Unauthorised(
            "The API key is missing or wrong.", hint="Send the header Authorization: Bearer KEY."
        )


def key_matches(settings: Settings, given: str) -> bool:
    """Whether a text is the key, in a time that tells nothing about how much of it is right."""
    expected = (settings.key or "").encode()
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected)


def _check_host(settings: Settings, host: str) -> None:
    if _name(host) not in settings.allowed_hosts():
        raise Forbidden(
            "The Host header names another server.",
            code="host_refused",
            hint="Call it by its own name, or add the name with --allow-host.",
        )


def _check_origin(settings: Settings, headers: Mapping[str, str]) -> None:
    origin = headers.get("origin")
    if origin is not None:
        scheme, mark, netloc = origin.partition("://")
        same = mark and scheme in ("http", "https") and netloc == headers.get("host")
        if not same and origin not in settings.origins:
            raise _foreign()
        return
    # Following a link to the page is fine; a picture or a frame of another page is not.
    how = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    if headers.get("sec-fetch-site") == "cross-site" and how != ("navigate", "document"):
        raise _foreign()


def _foreign() -> Forbidden:
    return Forbidden(
        "The request comes from a web page of another origin.",
        code="origin_refused",
        hint="Allow that page with --allow-origin if it is yours.",
    )


def _name(host: str) -> str:
    """Host header without its port, lower case: ``[::1]:8000`` gives ``[::1]``."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()
