# SPDX-License-Identifier: Apache-2.0
"""What a route may do: take an upload in, have it examined, queue a job, wait for it."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from fastapi import Request, UploadFile
from starlette.concurrency import run_in_threadpool

from monai_cxr_cf.dicom.reading.options import ReadOptions
from monai_cxr_cf.dicom.store.remote import check_uids
from monai_cxr_cf.errors import ComponentMissing
from monai_cxr_cf.server.queue.jobs import AUDIT, Job, Submission
from monai_cxr_cf.server.queue.store import Store
from monai_cxr_cf.server.settings import Settings
from monai_cxr_cf.server.uploads.examine import examine, mask_name
from monai_cxr_cf.server.uploads.isolate import Decoder

CHUNK = 1 << 20
POLL_S = 0.1
Fetch = Callable[[str, str, str, Path], None]  # study, series, instance UID -> file


@dataclass(frozen=True)
class Desk:
    """The parts of one server that routes work with."""

    settings: Settings
    store: Store
    decoder: Decoder
    fetch: Fetch | None = None  # gets one instance from the configured DICOM store

    def incoming(self) -> Path:
        """A new private folder for an upload; ``submit`` takes it, whoever refuses removes it."""
        return Path(tempfile.mkdtemp(dir=self.store.data / "incoming"))

    async def receive(self, upload: UploadFile, file: Path) -> str:
        """Copy an upload to a file chunk by chunk; returns its sha256."""
        digest = sha256()
        with file.open("xb") as stream:
            while chunk := await upload.read(CHUNK):
                digest.update(chunk)
                await run_in_threadpool(stream.write, chunk)
        return digest.hexdigest()

    async def receive_mask(self, upload: UploadFile, folder: Path) -> str:
        """Copy an uploaded mask into a new folder, named after its content; returns its sha256."""
        folder.mkdir()
        name = mask_name(await upload.read(CHUNK), upload.filename or "")
        await upload.seek(0)
        return await self.receive(upload, folder / name)

    def fetched(self, uids: Sequence[str], file: Path) -> str:
        """Get study, series and instance from the configured store; returns the file's sha256."""
        check_uids(*uids)
        if self.fetch is None:
            raise ComponentMissing(
                "No DICOM store is configured.", hint="cxr-cf serve --dicomweb URL, or upload it."
            )
        study, series, instance = uids
        self.fetch(study, series, instance, file)
        with file.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()

    @staticmethod
    def discard(folder: Path) -> None:
        """Remove a folder of ``incoming``."""
        shutil.rmtree(folder, ignore_errors=True)

    def submit(self, submission: Submission) -> tuple[Job, bool]:
        """Examine the files in the capped child, then queue the job.

        Returns:
            The job and whether it is new: an equal one that waits, runs or is done is given back.

        Raises:
            CxrError: a refused file or request, a full queue; the folder is then removed.
        """
        try:
            earlier = self.store.same(submission)
            if earlier is not None:
                return earlier, False
            self.store.room()
            for name, reading in _radiographs(submission):
                self.decoder.call(examine, str(submission.folder), self._capped(reading), name)
            return self.store.submit(submission)
        finally:
            self.discard(submission.folder)

    def wait(self, job: str, seconds: float) -> Job:
        """The job once it is over, or as it stands after ``seconds``; blocks its thread."""
        end = time.monotonic() + seconds
        while not (found := self.store.get(job)).over and time.monotonic() < end:
            time.sleep(POLL_S)
        return found

    def _capped(self, reading: Mapping[str, Any]) -> dict[str, Any]:
        """The request's reading options; where it names no limit, the lower of two defaults."""
        limits, usual = self.settings.limits, ReadOptions()
        most = {
            "max_pixels": min(limits.max_pixels, usual.max_pixels),
            "max_bytes": min(limits.upload_bytes, usual.max_bytes),
        }
        return {**most, **reading}


def _radiographs(submission: Submission) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each of a submission, and how it may be read; an audit takes pictures."""
    source, reading = submission.folder / "source", submission.request.get("reading", {})
    for file in sorted(source.iterdir()) if source.is_dir() else (source,):
        name = file.relative_to(submission.folder).as_posix()
        yield name, {"allow_raster": True} if submission.kind == AUDIT else reading


def desk(request: Request) -> Desk:
    """Dependency of every route that needs one."""
    found: Desk = request.app.state.desk
    return found
