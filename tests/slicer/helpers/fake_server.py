# SPDX-License-Identifier: Apache-2.0
"""A server that behaves as told, for what the real one never does: vanish, damage, lie, stall.

It speaks the job routes of ``docs/server.md`` 3; ``remote/test_real_server.py`` runs the real one.
"""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ID = "0123456789abcdef"
DATA = {"cf/0001.dcm": b"c" * 300_000, "preview.png": b"p", "report.json": b"{}",
        "view/source.png": b"v"}  # fmt: skip
ROLES = {"cf/0001.dcm": "cf", "preview.png": "preview", "report.json": "report",
         "view/source.png": "view_source"}  # fmt: skip
HELLO = {"event": "hello", "protocol": 1, "version": "0", "device": "cpu", "lock_sha256": None}
KEY = "a-key-of-sixteen-letters"


def listed() -> list[dict[str, Any]]:
    """The files as both the list and the result tell them."""
    return [
        {"index": number, "role": ROLES[name], "name": name, "path": name, "label": "",
         "sha256": hashlib.sha256(data).hexdigest()}
        for number, (name, data) in enumerate(DATA.items())
    ]  # fmt: skip


def story() -> list[dict[str, Any]]:
    """The events of a good run."""
    steps = [{"event": "progress", "stage": "sample", "step": n, "total": 3, "eta_s": 1.0}
             for n in (1, 2, 3)]  # fmt: skip
    preview = {"event": "preview", "path": "preview.png", "step": None}
    result = {"event": "result", "files": listed(), "metrics": {"outside_max_diff": 0},
              "verdict": {"verdict": "passed"}, "report": "report.json", "seconds": {}}  # fmt: skip
    return [HELLO, *steps, preview, result]


class FakeServer:
    """Started on a free port; ``asked`` keeps what came, ``body`` the last upload."""

    def __init__(self, mode: str = "good") -> None:
        self.mode, self.body, self.asked = mode, b"", list[str]()
        self.keys, self.counts = set[str | None](), Counter[str]()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                server.answer(self)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def stop(self) -> None:
        """End it."""
        self.http.shutdown()
        self.http.server_close()

    def answer(self, call: BaseHTTPRequestHandler) -> None:
        """One request, as the mode says."""
        route = call.path.partition("?")[0]
        words = f"{call.command} {route}"
        self.asked.append(words)
        self.counts[words] += 1
        self.keys.add(call.headers["Authorization"])
        odd = getattr(self, f"_{self.mode}", None)
        if odd is not None and odd(call, words):
            return
        if call.command == "POST":
            self.body = call.rfile.read(int(call.headers["Content-Length"]))
            send(call, {"id": ID}, 202)
        elif call.command == "DELETE":
            send(call, {"id": ID, "state": "cancelled"})
        elif route.endswith("/events"):
            self._events(call)
        elif route.endswith("/files"):
            send(call, listed())
        elif "/files/" in route:
            send_bytes(call, list(DATA.values())[int(route.rpartition("/")[2])])
        else:
            send(call, {"id": ID, "state": "queued", "position": 2})

    def _events(self, call: BaseHTTPRequestHandler, told: Sequence[dict[str, Any]] = ()) -> None:
        """Nothing at first, for the job waits; then two more at each question."""
        after = int(call.path.rpartition("=")[2])
        ready = 2 * (self.counts[f"GET {call.path.partition('?')[0]}"] - 1)
        numbered = list(enumerate(told or story(), 1))[after:ready]
        send_bytes(call, "".join(json.dumps({"n": n, **e}) + "\n" for n, e in numbered).encode())

    def _stalls(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Says hello and then never anything."""
        if words.endswith("/events"):
            self._events(call, [HELLO])
        return words.endswith("/events")

    def _hangs(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Takes the question for events and does not answer it."""
        if words.endswith("/events"):
            time.sleep(20)
        return words.endswith("/events")

    def _drops(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Hangs up at the first two questions of each kind."""
        if words.startswith("GET") and self.counts[words] <= 2:
            call.close_connection = True
            return True
        return False

    def _vanishes(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Hangs up at every question once it has the job."""
        call.close_connection = words.startswith("GET")
        return words.startswith("GET")

    def _damages(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Sends other bytes than announced."""
        if words.endswith("/files/0"):
            send_bytes(call, b"other")
        return words.endswith("/files/0")

    def _damages_once(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        return self.counts[words] == 1 and self._damages(call, words)

    def _escapes(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Names a file outside the result's folder."""
        if words.endswith("/files"):
            send(call, [{**listed()[0], "name": "../evil"}])
        return words.endswith("/files")

    def _fails(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Tells an error as the real one does."""
        error = {"event": "error", "code": "resource_exhausted", "message": "No memory.",
                 "hint": "Take less."}  # fmt: skip
        if words.endswith("/events"):
            self._events(call, [HELLO, error])
        return words.endswith("/events")

    def _locked(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Wants a key."""
        if call.headers["Authorization"] == f"Bearer {KEY}":
            return False
        call.close_connection = True
        send(call, {"code": "unauthorised", "message": "No key.", "hint": ""}, 401)
        return True

    def _refuses(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Refuses an upload by its size, before any of it is read."""
        call.close_connection = True
        send(call, {"code": "too_large", "message": "Too large.", "hint": "Crop it."}, 413)
        return True

    def _moved(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Sends everybody elsewhere."""
        call.send_response(302)
        call.send_header("Location", f"{self.url}/elsewhere")
        call.send_header("Content-Length", "0")
        call.end_headers()
        return True

    def _foreign(self, call: BaseHTTPRequestHandler, words: str) -> bool:
        """Is another program."""
        call.rfile.read(int(call.headers["Content-Length"] or 0))
        send_bytes(call, b"<html>Welcome</html>")
        return True


def send(call: BaseHTTPRequestHandler, data: Any, status: int = 200) -> None:
    """JSON."""
    send_bytes(call, json.dumps(data).encode(), status)


def send_bytes(call: BaseHTTPRequestHandler, data: bytes, status: int = 200) -> None:
    """Bytes."""
    call.send_response(status)
    call.send_header("Content-Length", str(len(data)))
    call.end_headers()
    call.wfile.write(data)
