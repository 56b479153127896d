# SPDX-License-Identifier: Apache-2.0
"""Talks HTTP with a server: JSON answers, one upload, downloads. Standard library only.

TLS is always verified (``SSL_CERT_FILE`` names other authorities); redirects and proxies are not
followed, so that key and radiograph go to the address that was given and nowhere else.
"""

import hashlib
import http.client
import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from CXRCounterfactualLib.contract.address import Address

CHUNK = 1 << 18
ANSWER_BYTES = 64 << 20
PAUSES = (0.3, 0.6, 1.2, 2.4, 4.8)  # seconds between attempts to reach a server again
LAST_GOOD = 299  # HTTP status
# What a network does; a disk that is full is an OSError too, and none of these.
LOST = (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)
Report = Callable[[int, int], None]  # bytes so far, of all
Answer = TypeVar("Answer")


class Trouble(Exception):
    """What went wrong, as the runner tells it, and the exit code that goes with it."""

    def __init__(self, code: str, message: str, hint: str = "", *, exit_code: int) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.exit_code = code, message, hint, exit_code

    def as_dict(self) -> dict[str, str]:
        """The fields of an error event."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


def exit_code_of(status: int) -> int:
    """The runner's exit code for an HTTP status."""
    known = {429: 4, 503: 3, 507: 4, 502: 5, 504: 5}
    return known.get(status, 1 if status >= 500 else 2)


class Server:
    """One server; a connection is kept while it lasts.

    Args:
        address: where it is.
        key: sent with every request; "" for none.
        patience: seconds without a byte after which a call is given up.
        pauses: seconds before each further attempt to reach it.
    """

    def __init__(
        self,
        address: Address,
        key: str = "",
        *,
        patience: float = 30.0,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        if not key.isascii() or not key.isprintable():
            raise Trouble("bad_key", "The key holds a character that no key has.",
                          "Copy it again.", exit_code=2)  # fmt: skip
        self._address, self._patience, self._pauses = address, patience, tuple(pauses)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._link: http.client.HTTPConnection | None = None

    def hurry(self, patience: float) -> None:
        """Be less patient from now on."""
        self._patience = patience

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def get(self, path: str) -> Any:
        """The JSON of a GET."""
        return json.loads(self.get_text(path))

    def get_text(self, path: str) -> str:
        """The text of a GET, asked again while the server cannot be reached."""
        return self._again(path, _read).decode("utf-8")

    def delete(self, path: str) -> None:
        """One DELETE, best effort, on a connection of its own."""
        self.close()
        with suppress(OSError, http.client.HTTPException):
            self._send("DELETE", path).read()
        self.close()

    def post(self, path: str, fields: Mapping[str, str], files: Mapping[str, Path],
             report: Report) -> Any:  # fmt: skip
        """The JSON of a POST of a form; sent once, for nobody knows what a lost one did."""
        form = Form(fields, files, report)
        self.close()
        try:
            response = self._send("POST", path, form)
            body = _read(response)
        except LOST as error:
            raise unreachable(error) from error
        if response.status > LAST_GOOD:
            raise _refusal(response.status, body)
        return json.loads(body)

    def download(self, path: str, target: Path, sha256: str) -> None:
        """One file, its digest checked; fetched again if it arrived damaged."""
        for _ in range(2):
            if self._again(path, lambda response: _saved(response, target)) == sha256:
                return
        raise Trouble("damaged_download", "A file arrived damaged twice.",
                      "Check the network, then run it again.", exit_code=5)  # fmt: skip

    def _again(self, path: str, use: Callable[[http.client.HTTPResponse], Answer]) -> Answer:
        """A GET that survives a broken connection and a server that restarts."""
        pauses = iter(self._pauses)
        while True:
            try:
                response = self._send("GET", path)
                if response.status > LAST_GOOD:
                    raise _refusal(response.status, _read(response))
                return use(response)
            except LOST as error:
                self.close()
                pause = next(pauses, None)
                if pause is None or isinstance(error, ssl.SSLCertVerificationError):
                    raise unreachable(error) from error
                time.sleep(pause)

    def _send(self, method: str, path: str, form: "Form | None" = None) -> http.client.HTTPResponse:
        link = self._link = self._link or self._connection()
        headers = {**self._headers, "Accept": "*/*"}
        if form is None:
            link.request(method, self._address.base + path, headers=headers)
            return link.getresponse()
        headers |= {"Content-Type": form.media_type, "Content-Length": str(form.length)}
        with suppress(BrokenPipeError, ConnectionResetError):  # it refused before it had read all
            link.request(method, self._address.base + path, body=iter(form), headers=headers)
        return link.getresponse()

    def _connection(self) -> http.client.HTTPConnection:
        where = (self._address.host, self._address.port)
        link: http.client.HTTPConnection
        if self._address.secure:
            context = ssl.create_default_context()
            link = http.client.HTTPSConnection(*where, timeout=self._patience, context=context)
        else:
            link = http.client.HTTPConnection(*where, timeout=self._patience)
        try:
            link.connect()
        except ssl.SSLError:
            raise
        except OSError as error:  # no such name, no route: the system has many
            raise ConnectionError from error
        return link


class Form:
    """multipart/form-data, read from disk while it is sent; file names stay here."""

    def __init__(
        self, fields: Mapping[str, str], files: Mapping[str, Path], report: Report
    ) -> None:
        self._report, self._edge = report, f"--{secrets.token_hex(16)}"
        self.media_type = f"multipart/form-data; boundary={self._edge[2:]}"
        parts: list[tuple[bytes, Path | bytes]] = []
        for name, text in fields.items():
            parts.append((self._head(f'name="{name}"'), text.encode()))
        for name, path in files.items():
            about = f'name="{name}"; filename="{name}{"".join(path.suffixes[-2:])}"'
            parts.append((self._head(about), path))
        self._parts, self._tail = parts, f"{self._edge}--\r\n".encode()
        sizes = (len(head) + 2 + _size(body) for head, body in parts)
        self.length = sum(sizes) + len(self._tail)

    def _head(self, about: str) -> bytes:
        return f"{self._edge}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode()

    def __iter__(self) -> Iterator[bytes]:
        """Its bytes, in pieces."""
        sent = 0
        for head, body in self._parts:
            for piece in (head, *((body,) if isinstance(body, bytes) else ())):
                yield piece
            if isinstance(body, Path):
                with body.open("rb") as stream:
                    while piece := stream.read(CHUNK):
                        yield piece
                        sent += len(piece)
                        self._report(sent, self.length)
            yield b"\r\n"
        yield self._tail


def unreachable(error: Exception) -> Trouble:
    """Why there is no answer, in words for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Trouble("certificate", "The server's certificate cannot be verified.",
                       "Let SSL_CERT_FILE name your hospital's certificate authority.",
                       exit_code=5)  # fmt: skip
    if isinstance(error, ssl.SSLError):
        return Trouble("tls", "The server does not speak TLS as expected.",
                       "Check the address and its port.", exit_code=5)  # fmt: skip
    return Trouble("server_lost", "The server does not answer.",
                   "Check its address and port, the network, and that cxr-cf serve runs.",
                   exit_code=5)  # fmt: skip


def _refusal(status: int, body: bytes) -> Trouble:
    """The server's own words; of anybody else's answer only the status."""
    exit_code = exit_code_of(status)
    try:
        said = json.loads(body)
        code, message, hint = (str(said[key]) for key in ("code", "message", "hint"))
    except (ValueError, KeyError, TypeError):
        return Trouble(f"http_{status}", f"The address answered with HTTP status {status}.",
                       "Is it the address of cxr-cf serve?", exit_code=exit_code)  # fmt: skip
    if status == http.client.UNAUTHORIZED:
        message, hint = "The server wants a key, or another one.", "Give the key in the settings."
    return Trouble(code, message, hint, exit_code=exit_code)


def _read(response: http.client.HTTPResponse) -> bytes:
    body = response.read(ANSWER_BYTES + 1)
    if len(body) > ANSWER_BYTES:
        raise http.client.HTTPException("too long")
    return body


def _saved(response: http.client.HTTPResponse, target: Path) -> str:
    """Write a body to a file; its sha256."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        while piece := response.read(CHUNK):
            digest.update(piece)
            stream.write(piece)
    return digest.hexdigest()


def _size(body: Path | bytes) -> int:
    return len(body) if isinstance(body, bytes) else body.stat().st_size
