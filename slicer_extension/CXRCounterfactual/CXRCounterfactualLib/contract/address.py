# SPDX-License-Identifier: Apache-2.0
"""The address of a server: which ones may be called at all. Standard library only.

A radiograph and a key never travel in the clear: ``http`` is for this machine alone.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EXAMPLE = "for example https://cxr.hospital.example"


@dataclass(frozen=True)
class Address:
    """Where a server is."""

    secure: bool
    host: str
    port: int
    base: str  # path before /v1, without a slash at its end


def parse_address(text: str) -> Address:
    """The parts of an address; ValueError with a sentence for people if it cannot be used."""
    if not text.strip():
        raise ValueError(f"Give the address of the server, {EXAMPLE}.")
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError(f"The server's address cannot be read; expected one {EXAMPLE}.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"The server's address begins with https://, {EXAMPLE}.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("The server's address holds a name, a key or a query; give it without.")
    secure = parts.scheme == "https"
    if not secure and parts.hostname not in LOOPBACK:
        raise ValueError(
            "Over http the radiograph would travel in the clear; give an https address."
        )
    port = port or (443 if secure else 80)
    return Address(secure, parts.hostname, port, parts.path.rstrip("/"))
