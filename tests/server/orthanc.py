# SPDX-License-Identifier: Apache-2.0
"""Orthanc from Debian as a real DICOM store: started empty on loopback, asked, stopped."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.server.serving import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "ORTHANC"


class Orthanc:
    """One Orthanc on a folder of its own; a visible skip where it is not installed."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None or not PLUGIN.is_file():
            pytest.skip("Orthanc is not installed (apt-get install orthanc orthanc-dicomweb)")
        self.port, self.dimse = free_port(), free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/dicom-web"
        self.node = f"dimse://{TITLE}@127.0.0.1:{self.dimse}"
        store = folder / "store"
        store.mkdir(parents=True)
        config = folder / "orthanc.json"
        config.write_text(json.dumps(self._config(store)))
        self.log = folder / "orthanc.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen([program, str(config)], stdout=log, stderr=log)
        self._until_up()

    def _config(self, store: Path) -> dict[str, object]:
        # 1.10.1 ignores HttpBindAddresses: RemoteAccessAllowed false is the guard.
        return {
            "Name": "test",
            "StorageDirectory": str(store),
            "IndexDirectory": str(store),
            "HttpPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": TITLE,
            "DicomPort": self.dimse,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "Plugins": [str(PLUGIN)],
        }

    def _until_up(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.root}/system").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text(errors="replace")[-2000:])

    def put(self, data: bytes) -> None:
        """Store a file past DICOMweb."""
        httpx.post(f"{self.root}/instances", content=data).raise_for_status()

    def instances(self) -> dict[str, bytes]:
        """SOP Instance UID -> file, of all it holds."""
        found = {}
        for name in httpx.get(f"{self.root}/instances").json():
            tags = httpx.get(f"{self.root}/instances/{name}/simplified-tags").json()
            found[tags["SOPInstanceUID"]] = httpx.get(f"{self.root}/instances/{name}/file").content
        return found

    def clear(self) -> None:
        """Forget everything."""
        for name in httpx.get(f"{self.root}/patients").json():
            httpx.delete(f"{self.root}/patients/{name}")

    def stop(self) -> None:
        """SIGTERM and wait."""
        self._process.terminate()
        self._process.wait(30)
