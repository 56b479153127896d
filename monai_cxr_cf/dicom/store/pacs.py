# SPDX-License-Identifier: Apache-2.0
"""Radiographs from a DICOM store and results into it, by DICOMweb (QIDO, WADO, STOW).

In: the store's root URL; credentials come from the environment, never from a command line. Out:
instances found, files fetched byte for byte, files stored. C-STORE is in ``dimse``.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.store.answers import check_json, check_stored, missing, save_instance
from monai_cxr_cf.dicom.store.remote import UID, check_uids, check_url, remote, session_for
from monai_cxr_cf.dicom.writing.fileio import load
from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, RemoteFailure

if TYPE_CHECKING:
    from requests import Response

MODALITIES = ("CR", "DX")
MAX_BYTES = 512_000_000  # of one fetched instance
CHUNK = 1 << 20
T = TypeVar("T")
Warn = Callable[[str], None]
Fetch = Callable[[str, str, str, Path], None]


@dataclass(frozen=True)
class Instance:
    """One instance of a store: identifiers and what kind of image it is; nothing of the patient."""

    study: str
    series: str
    instance: str
    sop_class: str = ""
    modality: str = ""
    rows: int | None = None
    columns: int | None = None


@dataclass(frozen=True)
class SeriesFound:
    """One series of a store."""

    study: str
    series: str
    modality: str
    instances: int | None = None


class Pacs:
    """A DICOMweb store.

    Args:
        url: its root, e.g. ``https://pacs.example/dicom-web``.

    Raises:
        BadRequest: not an http(s) URL, credentials in it, or credentials over plain http.
        ComponentMissing: the ``[server]`` extra is not installed.
    """

    def __init__(self, url: str) -> None:
        self._url = check_url(url)
        try:
            from dicomweb_client.api import DICOMwebClient
        except ModuleNotFoundError as error:
            raise ComponentMissing(
                "The DICOMweb client is not installed.",
                hint=INSTALL_EXTRA.format("server"),
            ) from error
        self._session = session_for(self._url)
        self._client = DICOMwebClient(self._url, session=self._session)
        self._heard: Response | None = None  # the last answer
        self._session.hooks["response"].append(self._hear)

    def find_series(
        self, study: str | None = None, *, date: str | None = None, limit: int | None = 200
    ) -> tuple[SeriesFound, ...]:
        """Series of CR and DX images, by QIDO.

        Args:
            study: only of this study.
            date: only of studies of this day or range, ``YYYYMMDD`` or ``YYYYMMDD-YYYYMMDD``.
            limit: at most so many of each modality; None: all.
        """
        check_uids(*filter(None, [study]))
        if date is not None and not re.fullmatch(r"\d{8}(-\d{8})?", date):
            raise BadRequest("A date is YYYYMMDD or YYYYMMDD-YYYYMMDD.", code="date")
        filters = {"StudyDate": date} if date else {}
        found: list[SeriesFound] = []
        with remote(), self._as_json():
            for modality in MODALITIES:
                answers = self._client.search_for_series(
                    study,
                    search_filters={**filters, "Modality": modality},
                    limit=limit,
                    get_remaining=limit is None,
                )
                found += parsed(answers, partial(_series, modality=modality))
        # A store that ignores the filter lists everything, twice.
        return tuple(one for one in dict.fromkeys(found) if one.modality in MODALITIES)

    def find(self, *, study: str | None = None, series: str | None = None) -> tuple[Instance, ...]:
        """Instances of a study or a series, by QIDO; those of CR and DX if no series is named."""
        check_uids(*filter(None, [study, series]))
        filters = {"SeriesInstanceUID": series} if series else {}
        with remote(), self._as_json():
            answers = self._client.search_for_instances(
                study, search_filters=filters, fields=["Modality", "Rows", "Columns"], limit=500
            )
        found = parsed(answers, instance_of)
        return tuple(i for i in found if series or i.modality in (*MODALITIES, ""))

    def _hear(self, response: "Response", *args: Any, **more: Any) -> None:
        self._heard = response

    @contextmanager
    def _as_json(self) -> Iterator[None]:
        """Around a query: RemoteFailure if the last answer is no JSON, in our words.

        The client library fails on a page, and takes an empty page for an empty list. Raising
        within the session would not do: the library asks again five times, for half a minute.
        """
        try:
            yield
        except ValueError:
            if self._heard is not None:
                check_json(self._heard)
            raise
        if self._heard is not None:
            check_json(self._heard)

    def fetch(self, study: str, series: str, instance: str, path: Path) -> None:
        """Write one instance to a new file, byte for byte as the store sends it, by WADO.

        Raises:
            BadRequest: a malformed UID, or the store has no such instance.
            RemoteFailure: the store cannot be reached, refuses, or answers nonsense.
        """
        check_uids(study, series, instance)
        place = f"{self._url}/studies/{study}/series/{series}/instances/{instance}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        with (
            remote(),
            self._session.get(place, headers={"Accept": accept}, stream=True) as answer,
            tempfile.TemporaryFile(dir=path.parent) as body,
        ):
            if refusal := missing(answer.status_code):
                raise refusal
            answer.raise_for_status()
            for count, chunk in enumerate(answer.iter_content(CHUNK), 1):
                body.write(chunk)
                if count * CHUNK > MAX_BYTES + CHUNK:
                    raise RemoteFailure("The store's answer is too large.", code="too_many_bytes")
            stated = answer.headers.get("Content-Type", "")
            save_instance(body, stated, path, asked=instance)

    def store(
        self, paths: Iterable[Path], *, verify: bool = False, warn: Warn = lambda text: None
    ) -> int:
        """Send files by STOW, one a request, byte for byte; twice is harmless as UIDs repeat.

        Own request: the client library asks for no media type, and takes an answer whose content
        type carries a parameter for an empty one.

        Args:
            paths: DICOM files of ours.
            verify: fetch each back and compare its pixels.
            warn: called with what the store says of a file that it has stored.

        Returns:
            How many the store has accepted.

        Raises:
            RemoteFailure: the store refused one, or gave other pixels back.
        """
        count = 0
        for path in paths:
            ds = load(path)
            with remote():
                answer = self._post(path.read_bytes())
            for text in check_stored(answer, count + 1):
                warn(text)
            if verify:
                self._compare(ds)
            count += 1
        return count

    def _post(self, content: bytes) -> "Response":
        edge = uuid4().hex
        head = f"--{edge}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary="{edge}"'
        answer = self._session.post(
            f"{self._url}/studies",
            data=head + content + f"\r\n--{edge}--\r\n".encode(),
            headers={"Content-Type": kind, "Accept": "application/dicom+json"},
            allow_redirects=False,  # to another page the files would not go along
        )
        if answer.is_redirect:
            raise RemoteFailure(
                "The DICOM store sends to another address, perhaps to log in.",
                code="store_refused",
                hint="Name the store's own DICOMweb root; are the credentials right?",
            )
        return answer

    def _compare(self, sent: Dataset) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "back"
            self.fetch(sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID, path)
            try:
                with withheld():
                    same = pixel_hash(load(path)) == pixel_hash(sent)
            except Exception:  # decoders and converters raise many types on damaged bytes
                same = False
        if not same:
            raise RemoteFailure(
                "The store gives other pixels back than were sent.", code="store_differs"
            )


def fetcher(url: str) -> Fetch:
    """A function ``fetch(study, series, instance, path)`` for one store, safe in threads."""

    def fetch(study: str, series: str, instance: str, path: Path) -> None:
        Pacs(url).fetch(study, series, instance, path)

    return fetch


def pixel_hash(ds: Dataset) -> str:
    """sha256 of the pixels, decoded if compressed; of nothing for an object without pixels."""
    if "PixelData" not in ds:
        return sha256(b"").hexdigest()
    syntax = ds.file_meta.TransferSyntaxUID
    pixels = ds.pixel_array.tobytes() if syntax.is_compressed else ds.PixelData
    return sha256(pixels).hexdigest()


def parsed(answers: Iterable[Any] | None, make: Callable[[Dataset], T]) -> list[T]:
    """What a store's JSON says; null is an empty list. RemoteFailure for what is no DICOM JSON."""
    try:
        with withheld():
            return [make(Dataset.from_json(item)) for item in answers or ()]
    except RemoteFailure:
        raise
    except Exception:  # pydicom's converters raise many types; their texts hold values
        raise RemoteFailure(
            "The DICOM store's answer cannot be parsed.", code="store_answer"
        ) from None


def _series(ds: Dataset, modality: str) -> SeriesFound:
    number = ds.get("NumberOfSeriesRelatedInstances")
    return SeriesFound(
        _uid(ds, "StudyInstanceUID"),
        _uid(ds, "SeriesInstanceUID"),
        str(ds.get("Modality") or modality),
        _count(number),
    )


def instance_of(ds: Dataset) -> Instance:
    """An entry of a list of instances."""
    return Instance(
        _uid(ds, "StudyInstanceUID"),
        _uid(ds, "SeriesInstanceUID"),
        _uid(ds, "SOPInstanceUID"),
        str(ds.get("SOPClassUID") or ""),
        str(ds.get("Modality") or ""),
        _count(ds.get("Rows")),
        _count(ds.get("Columns")),
    )


def _uid(ds: Dataset, keyword: str) -> str:
    """An identifier that every entry of a list must have, fit for an address."""
    value = str(ds.get(keyword) or "")
    if not UID.fullmatch(value):
        raise RemoteFailure(
            f"An entry of the DICOM store's answer has no usable {keyword}.", code="store_answer"
        )
    return value


def _count(value: Any) -> int | None:
    return None if value is None or value == "" else int(value)
