# SPDX-License-Identifier: Apache-2.0
"""The product's own server on loopback, started from the product's environment."""

import socket
import subprocess
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.slicer.environment import Runner
from tests.slicer.helpers.fake_server import KEY

PATIENCE = 300.0  # seconds until it answers, on a machine that does other things too


class ProductServer:
    """One ``cxr-cf serve`` with a key; what it says goes to ``log``."""

    def __init__(self, runner: Runner, data: Path) -> None:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            port = int(door.getsockname()[1])
        self.url, self.log = f"http://127.0.0.1:{port}", data.with_name("serve.log")
        words = [runner.python, "-m", "monai_cxr_cf.cli", "serve", "--port", str(port)]
        environment = {**runner.environment(), "CXR_CF_SERVER_KEY": KEY}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*words, "--data", str(data)], cwd=runner.checkout, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._until_it_answers()

    def _until_it_answers(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            try:
                with urlopen(f"{self.url}/healthz", timeout=5) as answer:
                    assert answer.status == 200
                    return
            except URLError:
                assert time.monotonic() < end, self.log.read_text()[-2000:]
                time.sleep(0.2)

    def stop(self) -> None:
        """SIGTERM, which takes its worker along."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)
