# SPDX-License-Identifier: Apache-2.0
"""What a DICOMweb store answers -> one file, or what it says of files sent to it.

Used by ``pacs``. An answer is saved only if it is a DICOM file; login pages, JSON and half messages
are refused in words. Texts of the store are not repeated: they may name patients.
"""

import mmap
import os
import re
from collections.abc import Iterator
from email.message import Message
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydicom import dcmread

from monai_cxr_cf.errors import BadRequest, RemoteFailure

if TYPE_CHECKING:
    from requests import Response

CHUNK, HEAD = 1 << 20, 1 << 16  # bytes: of a copy; of a part, to find its identifier in
_KINDS = {
    "text/html": "a web page, perhaps a page to log in",
    "application/xhtml+xml": "a web page, perhaps a page to log in",
    "application/dicom+json": "JSON",
    "application/json": "JSON",
    "application/dicom+xml": "XML",
    "text/xml": "XML",
    "application/xml": "XML",
    "text/plain": "text",
}
# PS3.18 I.2.2, PS3.4 B.2.3 and C.4.
REASONS = {
    0x0110: "processing failure",
    0x0111: "it is stored already, with other content",
    0x0112: "no such instance",
    0x0117: "its UID is invalid",
    0x0122: "this kind of object (SOP class) is not taken",
    0x0124: "not authorized",
    0xA700: "out of resources",
    0xA900: "the object does not match its SOP class",
    0xB000: "values were changed",
    0xB006: "elements were discarded",
    0xB007: "the object does not match its SOP class",
    0xC000: "the object cannot be understood",
    0xC122: "its transfer syntax is not taken",
}
_HINT = "Is the URL the store's DICOMweb root, and are the credentials right?"


def save_instance(answer: IO[bytes], content_type: str, path: Path, *, asked: str = "") -> None:
    """The DICOM file of a WADO answer, byte for byte, into a new file.

    Args:
        answer: the body, open for reading.
        content_type: as the store states it; empty if it states none.
        path: must not exist.
        asked: SOPInstanceUID that was asked for, to choose among several parts.

    Raises:
        RemoteFailure: no DICOM file, several, or a message that is cut off.
    """
    size = answer.seek(0, os.SEEK_END)
    if not size:
        raise RemoteFailure("The DICOM store answered with nothing.", code="store_answer")
    with mmap.mmap(answer.fileno(), 0, access=mmap.ACCESS_READ) as data:
        edge = boundary_of(content_type)
        spans = list(_parts(data, edge)) if edge else [(0, size)]
        spans = [span for span in spans if data[span[0] + 128 : span[0] + 132] == b"DICM"]
        if not spans:
            raise RemoteFailure(
                f"The DICOM store answered with {_kind(content_type)}; expected a DICOM file.",
                code="store_answer",
                hint=_HINT,
            )
        start, end = _chosen(data, spans, asked)
        _copy(data, start, end, path)


def boundary_of(content_type: str) -> bytes:
    """The boundary of a multipart content type, in whatever way it is written; else nothing."""
    message = Message()
    message["Content-Type"] = content_type
    named = message.get_boundary() if message.get_content_maintype() == "multipart" else None
    return named.encode("latin_1", "replace") if named else b""


def check_json(response: "Response") -> None:
    """RemoteFailure if the answer to a query has another content type than JSON.

    Raises before the client library parses it; an empty answer means that nothing was found.
    """
    stated = _type(response.headers.get("Content-Type", ""))
    if response.status_code == 204 or not stated or "json" in stated:
        return
    if not response.content and stated != "text/html":
        return
    raise RemoteFailure(
        f"The DICOM store answered with {_kind(stated)}; expected a list in DICOM JSON.",
        code="store_answer",
        hint=_HINT,
    )


def missing(status: int) -> BadRequest | None:
    """The refusal for a status that says: there is no such instance."""
    if status not in (204, 404, 410):
        return None
    return BadRequest(
        f"The DICOM store has no such instance (status {status}).",
        code="not_in_store",
        hint="List what it has: cxr-cf pacs find URL --study UID",
    )


def check_stored(response: "Response", number: int) -> list[str]:
    """What the store says of one file sent to it: warnings if it is stored.

    Raises:
        RemoteFailure: refused, with the store's reason if it gives one, or not confirmed.
    """
    told = _dicom_json(response)
    failed = _reasons(told, "00081198", "00081197") + _reasons(told, "0008119A", "00081197")
    if failed or response.status_code >= 400:
        why = "; ".join(dict.fromkeys(failed)) or _status(response.status_code)
        raise RemoteFailure(
            f"The DICOM store refused file {number}: {why}.",
            code="store_refused",
            hint="Its log says more; 401 and 403: check the credentials.",
        )
    if not _items(told, "00081199"):
        kind = _kind(_type(response.headers.get("Content-Type", ""))) if response.content else ""
        raise RemoteFailure(
            f"The DICOM store did not confirm file {number}: it answered with "
            f"{kind or 'nothing'} (status {response.status_code}).",
            code="store_refused",
            hint="Look in the store whether it is there; sending it twice is harmless.",
        )
    return [f"file {number}: {why}" for why in _reasons(told, "00081199", "00081196")]


def reason(status: int) -> str:
    """A failure or warning status in words, with its number."""
    family = 0xC000 if status >> 12 == 0xC else status & 0xFF00 if status >> 12 == 0xA else status
    known = REASONS.get(status) or REASONS.get(family)
    return f"{known} ({status:04X})" if known else f"status {status:04X}"


def _parts(data: mmap.mmap, edge: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of every part's content (RFC 2046 5.1.1); lines may end in LF alone."""
    first = re.compile(rb"(?:\A|\n)--" + re.escape(edge) + rb"[ \t]*(\r?\n)").search(data)
    if first is None:
        raise _cut("holds no part")
    line = first[1]
    mark = re.compile(line + b"--" + re.escape(edge) + rb"(--|[ \t]*" + line + b")")
    blank = line * 2
    at = first.end() - len(line)
    while True:
        head_end = data.find(blank, at)
        following = None if head_end < 0 else mark.search(data, head_end + len(line))
        if following is None:
            raise _cut("ends before its last boundary")
        yield head_end + len(blank), following.start()
        if following[1] == b"--":
            return
        at = following.end() - len(line)


def _chosen(data: mmap.mmap, spans: list[tuple[int, int]], asked: str) -> tuple[int, int]:
    """The part that holds the instance asked for; one part, or equal ones, need no choice."""
    if len(spans) == 1 or len({sha256(data[start:end]).digest() for start, end in spans}) == 1:
        return spans[0]
    for start, end in spans:
        if asked and _uid(data[start : min(end, start + HEAD)]) == asked:
            return start, end
    raise RemoteFailure(
        f"The DICOM store answered with {len(spans)} files; expected the one asked for.",
        code="store_answer",
    )


def _uid(head: bytes) -> str:
    try:
        ds = dcmread(BytesIO(head), stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
        return str(ds.get("SOPInstanceUID", ""))
    except Exception:  # pydicom raises many types on hostile bytes
        return ""


def _copy(data: mmap.mmap, start: int, end: int, path: Path) -> None:
    """Into a new file, beside its name first: a full disk leaves no half file."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("xb") as file:
            for at in range(start, end, CHUNK):
                file.write(data[at : min(end, at + CHUNK)])
        if path.exists():
            raise BadRequest("The output file exists.", code="output_exists")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _cut(what: str) -> RemoteFailure:
    return RemoteFailure(
        f"The store's answer is no multipart message: it {what}.",
        code="store_answer",
        hint="Try again: the connection may have been cut.",
    )


def _type(stated: str) -> str:
    return stated.partition(";")[0].strip().lower()


def _kind(content_type: str) -> str:
    kind = _type(content_type)
    if kind.startswith(("multipart/", "image/")):
        return "a multipart message" if kind.startswith("m") else "a picture"
    return _KINDS.get(kind, "something else")


def _status(status: int) -> str:
    known = {401: "credentials are needed", 403: "it is not allowed", 409: "it conflicts",
             413: "it is too large", 415: "its media type is not taken"}  # fmt: skip
    return f"{known[status]} (status {status})" if status in known else f"status {status}"


def _dicom_json(response: "Response") -> dict[str, Any]:
    try:
        told = response.json() if response.content else {}
    except ValueError:
        return {}
    if isinstance(told, list):
        told = told[0] if told else {}
    return told if isinstance(told, dict) else {}


def _items(told: Any, tag: str) -> list[dict[str, Any]]:
    element = told.get(tag) if isinstance(told, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _reasons(told: dict[str, Any], sequence: str, tag: str) -> list[str]:
    """One text an item: its reason; for a failure without one, that it has none."""
    found = []
    for item in _items(told, sequence):
        element = item.get(tag)
        values = element.get("Value") if isinstance(element, dict) else None
        number = values[0] if isinstance(values, list) and values else None
        if isinstance(number, str) and number.isdigit():
            number = int(number)
        if isinstance(number, int):
            found.append(reason(number))
        elif sequence != "00081199":
            found.append("no reason given")
    return found
