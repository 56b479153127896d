# SPDX-License-Identifier: Apache-2.0
"""Sessions of MONAI Label clients: an image kept for a while under a random id.

On disk, so that they outlive a restart; forgotten when they expire.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.server.monailabel.datastore import write_json
from monai_cxr_cf.server.refusals import Busy, NotFound

EXPIRY_S = 3600
LONGEST_S = 86_400
MOST = 64  # sessions at once
META = "session.json"


@dataclass(frozen=True)
class ImageSessions:
    """Sessions below one folder, made with mode 0700."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, file: Path, suffix: str, *, expiry: int = 0) -> dict[str, Any]:
        """Keep an image; the file is moved. Returns the session's facts, its id as ``name``.

        Args:
            file: the image.
            suffix: of its format, e.g. ``.nrrd``.
            expiry: seconds after the last use; 0 = an hour.

        Raises:
            BadRequest: a negative or too long expiry.
            Busy: too many sessions.
        """
        if not 0 <= expiry <= LONGEST_S:
            raise BadRequest(f"expiry is {expiry}; expected 0 to {LONGEST_S} seconds.")
        self.sweep()
        if sum(1 for _ in self.folder.iterdir()) >= MOST:
            raise Busy(f"{MOST} sessions are open; that is the limit.", code="too_many_sessions")
        name, now = str(uuid4()), int(time.time())
        home = self.folder / name
        home.mkdir(mode=0o700)
        file.rename(home / f"image{suffix}")
        facts = {
            "name": name,
            "path": name,
            "image": f"image{suffix}",
            "meta": {},
            "create_ts": now,
            "last_access_ts": now,
            "expiry": expiry or EXPIRY_S,
        }
        write_json(home / META, facts)
        return facts

    def get(self, name: str, *, touch: bool = False) -> dict[str, Any]:
        """The facts of a session; NotFound if it never was or has expired."""
        path = self._home(name) / META
        try:
            facts: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise _unknown() from None
        if time.time() > facts["last_access_ts"] + facts["expiry"]:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise _unknown()
        if touch:
            facts["last_access_ts"] = int(time.time())
            write_json(path, facts)
        return facts

    def image(self, name: str) -> Path:
        """The image of a session; NotFound without one."""
        return self._home(name) / str(self.get(name, touch=True)["image"])

    def remove(self, name: str) -> dict[str, Any]:
        """Forget a session; returns its last facts."""
        facts = self.get(name)
        shutil.rmtree(self._home(name), ignore_errors=True)
        return facts

    def sweep(self) -> None:
        """Forget what has expired."""
        for home in list(self.folder.iterdir()):
            try:
                self.get(home.name)
            except NotFound:
                shutil.rmtree(home, ignore_errors=True)

    def _home(self, name: str) -> Path:
        """The folder of a session: only what a UUID prints is looked for, so no path gets here."""
        try:
            return self.folder / str(UUID(name))
        except ValueError:
            raise _unknown() from None


def _unknown() -> NotFound:
    return NotFound("There is no such session.", hint="It may have expired: PUT /session/.")
