# SPDX-License-Identifier: Apache-2.0
"""Radiographs from a DICOM store and results into it, by DICOMweb (QIDO, WADO, STOW).

In: the store's root URL; credentials come from the environment, never from a command line. Out:
instances found, files fetched byte for byte, files stored. C-STORE is in ``dimse``.
"""

import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pydicom.dataset import Dataset

from monai_cxr_cf.dicom.privacy import withheld
from monai_cxr_cf.dicom.store.remote import check_uids, check_url, remote, session_for, unpack
from monai_cxr_cf.dicom.writing.fileio import load
from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, RemoteFailure

MODALITIES = ("CR", "DX")
MAX_BYTES = 512_000_000  # of one fetched instance
CHUNK = 1 << 20
T = TypeVar("T")
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

    def find_series(
        self, study: str | None = None, *, date: str | None = None, limit: int = 200
    ) -> tuple[SeriesFound, ...]:
        """Series of CR and DX images, by QIDO.

        Args:
            study: only of this study.
            date: only of studies of this day or range, ``YYYYMMDD`` or ``YYYYMMDD-YYYYMMDD``.
            limit: at most so many of each modality.
        """
        check_uids(*filter(None, [study]))
        if date is not None and not re.fullmatch(r"\d{8}(-\d{8})?", date):
            raise BadRequest("A date is YYYYMMDD or YYYYMMDD-YYYYMMDD.", code="date")
        filters = {"StudyDate": date} if date else {}
        found: list[SeriesFound] = []
        with remote():
            for modality in MODALITIES:
                answers = self._client.search_for_series(
                    study, search_filters={**filters, "Modality": modality}, limit=limit
                )
                found += _parsed(answers, partial(_series, modality=modality))
        return tuple(found)

    def find(self, *, study: str | None = None, series: str | None = None) -> tuple[Instance, ...]:
        """Instances of a study or a series, by QIDO; those of CR and DX if no series is named."""
        check_uids(*filter(None, [study, series]))
        filters = {"SeriesInstanceUID": series} if series else {}
        with remote():
            answers = self._client.search_for_instances(
                study, search_filters=filters, fields=["Modality", "Rows", "Columns"], limit=500
            )
        found = _parsed(answers, _instance)
        return tuple(i for i in found if series or i.modality in (*MODALITIES, ""))

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
            if answer.status_code == 404:
                raise BadRequest("The DICOM store has no such instance.", code="not_in_store")
            answer.raise_for_status()
            for count, chunk in enumerate(answer.iter_content(CHUNK), 1):
                body.write(chunk)
                if count * CHUNK > MAX_BYTES + CHUNK:
                    raise RemoteFailure("The store's answer is too large.", code="too_many_bytes")
            unpack(body, answer.headers.get("Content-Type", ""), path)

    def store(self, paths: Iterable[Path], *, verify: bool = False) -> int:
        """Send files by STOW, one a request; sending twice is harmless as UIDs repeat.

        Args:
            paths: DICOM files of ours.
            verify: fetch each back and compare its pixels.

        Returns:
            How many the store has accepted.

        Raises:
            RemoteFailure: the store refused one, or gave other pixels back.
        """
        count = 0
        for path in paths:
            ds = load(path)
            with remote():
                answer = self._client.store_instances([ds])
            # A success carries an empty FailedSOPSequence, so its presence says nothing.
            if answer.get("FailedSOPSequence") or not answer.get("ReferencedSOPSequence"):
                raise RemoteFailure(
                    f"The DICOM store refused file {count + 1}.",
                    code="store_refused",
                    hint="Its log says why.",
                )
            if verify:
                self._compare(ds)
            count += 1
        return count

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


def _parsed(answers: Iterable[Any], make: Callable[[Dataset], T]) -> list[T]:
    """What a store's JSON says; RemoteFailure for what is no DICOM JSON."""
    try:
        with withheld():
            return [make(Dataset.from_json(item)) for item in answers]
    except Exception:  # pydicom's converters raise many types; their texts hold values
        raise RemoteFailure(
            "The DICOM store's answer cannot be parsed.", code="store_answer"
        ) from None


def _series(ds: Dataset, modality: str) -> SeriesFound:
    number = ds.get("NumberOfSeriesRelatedInstances")
    return SeriesFound(
        str(ds.get("StudyInstanceUID", "")),
        str(ds.get("SeriesInstanceUID", "")),
        modality,
        None if number is None else int(number),
    )


def _instance(ds: Dataset) -> Instance:
    return Instance(
        str(ds.get("StudyInstanceUID", "")),
        str(ds.get("SeriesInstanceUID", "")),
        str(ds.get("SOPInstanceUID", "")),
        str(ds.get("SOPClassUID", "")),
        str(ds.get("Modality", "")),
        ds.get("Rows"),
        ds.get("Columns"),
    )
