# SPDX-License-Identifier: Apache-2.0
"""One job on a server from its file to its results: submit, follow, fetch. Standard library only.

Tells the events of the local runner, and two stages of its own: "queue" and "download".
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from CXRCounterfactualLib.remote.server import Server, Trouble

Tell = Callable[[Mapping[str, Any]], None]
POLL_S = 0.3
PARTS = {"source": "dicom", "masks": "masks", "roi": "roi"}
REGION = ("prompt", "findings", "segmenter", "reading")
EXITS = {"cancelled": 143, "component_missing": 3, "resource_exhausted": 4, "queue_full": 4,
         "internal": 1, "remote_failure": 5}  # fmt: skip


class Job:
    """A job file and a server in; events and a folder out.

    Args:
        server: where it runs.
        request: as ``jobs.make_request`` made it.
        region: only find organs and region.
        tell: takes the events.
    """

    def __init__(self, server: Server, request: Mapping[str, Any], *, region: bool,
                 tell: Tell) -> None:  # fmt: skip
        self._server, self._tell = server, tell
        self._kind = "segment" if region else "edit"
        kept = {key: value for key, value in request.items() if key not in PARTS}
        self._request = {k: v for k, v in kept.items() if k in REGION} if region else kept
        wanted = ("source",) if region else PARTS
        self._files = {PARTS[name]: Path(request[name]) for name in wanted if request.get(name)}
        self._id = ""

    def run(self, out: Path) -> dict[str, Any]:
        """Do it; ``out`` appears whole or not at all. Returns the result event, not yet told."""
        self._submit()
        result, previews = self._follow()
        kept = self._fetch(out)
        files = [file for file in result["files"] if file["path"] in kept]
        for preview in previews:
            if preview.get("path") in kept:
                self._tell(preview)
        return {**result, "files": files}

    def stop(self) -> None:
        """Ask the server to stop it. One whose upload was cut has no number, and never starts."""
        if self._id:
            self._server.delete(f"/v1/jobs/{self._id}")

    def _submit(self) -> None:
        for name, path in self._files.items():
            if not path.is_file():
                word = "radiograph" if name == "dicom" else name
                raise Trouble("no_file", f"The file of the {word} does not exist.",
                              "Load it again.", exit_code=2)  # fmt: skip
        fields = {"request": json.dumps(self._request), "kind": self._kind}
        said = self._server.post("/v1/jobs", fields, self._files, self._sent)
        self._id = _name(said.get("id"))

    def _sent(self, done: int, total: int) -> None:
        self._progress("upload", done >> 10, max(total >> 10, 1))

    def _follow(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Tell what happens until it is over; the result, and the pictures that come with it."""
        after, place = 0, -1
        previews: list[dict[str, Any]] = []
        while True:
            for event in self._news(after):
                after = int(event.pop("n"))
                if event["event"] == "result":
                    return event, previews
                if event["event"] == "error":
                    raise _told(event)
                if event["event"] == "preview":
                    previews.append(event)
                else:
                    self._tell(event)
            if after == 0:
                place = self._queue(place)
            time.sleep(POLL_S)

    def _news(self, after: int) -> Iterator[dict[str, Any]]:
        text = self._server.get_text(f"/v1/jobs/{self._id}/events?after={after}")
        return (json.loads(line) for line in text.splitlines())

    def _queue(self, place: int) -> int:
        """Tell the place in the queue when it changes."""
        now = self._server.get(f"/v1/jobs/{self._id}").get("position") or 0
        if now != place and now > 0:
            self._progress("queue", 0, now)
        return int(now)

    def _fetch(self, out: Path) -> set[str]:
        """All files but the pictures for browsers, staged beside ``out``, then moved there."""
        listed = [file for file in self._server.get(f"/v1/jobs/{self._id}/files")
                  if not str(file["role"]).startswith("view_")]  # fmt: skip
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            for number, file in enumerate(listed):
                self._progress("download", number, len(listed))
                path = f"/v1/jobs/{self._id}/files/{int(file['index'])}"
                self._server.download(path, _target(work, file["name"]), file["sha256"])
            with suppress(FileNotFoundError):
                out.rmdir()
            work.rename(out)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return {str(file["name"]) for file in listed}

    def _progress(self, stage: str, step: int, total: int) -> None:
        event = {"event": "progress", "stage": stage, "step": step, "total": total, "eta_s": None}
        self._tell(event)


def _target(folder: Path, name: object) -> Path:
    """Where a file goes; Trouble if its name leaves the folder."""
    target = (folder / str(name)).resolve()
    if target == folder.resolve() or not target.is_relative_to(folder.resolve()):
        raise Trouble("protocol", "The server named a file outside the result's folder.",
                      "Is it the address of cxr-cf serve?", exit_code=5)  # fmt: skip
    return target


def _name(identifier: object) -> str:
    if not isinstance(identifier, str) or not identifier.isalnum():
        raise Trouble("protocol", "The server did not say how it calls the job.",
                      "Is it the address of cxr-cf serve?", exit_code=5)  # fmt: skip
    return identifier


def _told(event: Mapping[str, Any]) -> Trouble:
    code = str(event.get("code", "internal"))
    message, hint = str(event.get("message", "")), str(event.get("hint", ""))
    return Trouble(code, message, hint, exit_code=EXITS.get(code, 2))
