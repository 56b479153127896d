# SPDX-License-Identifier: Apache-2.0
"""Starts the client of a server as the back end does: stdin stays open, every line is read."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CXRCounterfactualLib.contract.decoder import LineDecoder
from CXRCounterfactualLib.process import commands

SCRIPT = commands.CLIENT


@dataclass
class Client:
    """One client process, the lines it prints, and its output folder."""

    process: "subprocess.Popen[str]"
    out: Path
    lines: list[str]

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def events(self) -> list[Any]:
        """What the extension's decoder makes of its lines, when it is over."""
        self.wait()
        ear = LineDecoder(self.out)
        return ear.feed("".join(self.lines).encode()) + ear.end()

    def document(self) -> dict[str, Any]:
        """The one JSON document it printed."""
        self.wait()
        found: dict[str, Any] = json.loads("".join(self.lines))
        return found

    def until(self, word: str, seconds: float = 240.0) -> None:
        """Wait until a line holds a word."""
        end = time.monotonic() + seconds
        while not any(word in line for line in self.lines):
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < end, self.lines
            time.sleep(0.02)

    def stop(self, how: str) -> float:
        """Stop it by "cancel" line, "eof" or "signal"; seconds until it is gone."""
        began = time.monotonic()
        assert self.process.stdin is not None
        if how == "signal":
            self.process.send_signal(signal.SIGTERM)
        elif how == "eof":
            self.process.stdin.close()
        else:
            self.process.stdin.write("cancel\n")
            self.process.stdin.flush()
        self.wait()
        return time.monotonic() - began


def start(
    url: str, folder: Path, *words: str, key: str = "", ca: str = "", read: bool = True
) -> Client:
    """Start the client; without ``words`` with the job file of ``folder``."""
    environment = {k: v for k, v in os.environ.items() if k not in (commands.KEY, "PYTHONPATH")}
    environment |= {commands.KEY: key} if key else {}
    environment |= {"SSL_CERT_FILE": ca} if ca else {}
    out = folder / "out"
    asked = words or ("--request", str(folder / "job.json"), "--out", str(out))
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--server", url, *asked],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip
    client = Client(process, out, [])
    reading = threading.Thread(target=lambda: client.lines.extend(process.stdout or ()))
    reading.daemon = True
    if read:
        reading.start()
    return client
