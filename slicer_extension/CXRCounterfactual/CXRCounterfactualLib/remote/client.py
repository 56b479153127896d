# SPDX-License-Identifier: Apache-2.0
"""A job on a server, seen from outside like the local runner: same events, same exit codes.

``client.py --server URL --request job.json --out DIR``, a script for Slicer's own Python;
the key comes in CXR_CF_API_KEY. ``--region``, ``--check`` and ``--info`` print one JSON document.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script

from CXRCounterfactualLib.contract.address import parse_address
from CXRCounterfactualLib.remote.job import Job
from CXRCounterfactualLib.remote.server import PAUSES, Server, Trouble

KEY = "CXR_CF_API_KEY"
OURS = "Is it the address of cxr-cf serve?"
GOODBYE_S = 0.7  # the back end kills after one second
CANCELLED, INTERRUPTED, MISSING = 143, 130, 3


class Stopped(Exception):
    """SIGTERM, Ctrl-C, a ``cancel`` line, or the end of standard input."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = INTERRUPTED if number == signal.SIGINT else CANCELLED


class Ear:
    """Turns signals and standard input into one ``Stopped`` in the main thread, once."""

    def __init__(self) -> None:
        self._heard = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        threading.Thread(target=self._listen, daemon=True).start()

    def deafen(self) -> None:
        """The rest must not be disturbed."""
        self._heard = True

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self._heard:
            self._heard = True
            raise Stopped(number)

    def _listen(self) -> None:
        for line in sys.stdin or ():
            if line.strip() == "cancel":
                break
        if hasattr(signal, "pthread_kill"):  # wakes the main thread from a wait for the network
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGTERM)


def tell(event: Mapping[str, Any]) -> None:
    """One event, one line; a reader that is gone counts as a cancel."""
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or closing would fail once more
        raise Stopped(signal.SIGTERM) from None


def main(words: Sequence[str] | None = None) -> int:
    """Do one thing; returns the exit code."""
    args = _parser().parse_args(words)
    document = args.region or args.check or args.info
    try:
        return _do(args)
    except Trouble as trouble:
        tell({"error": trouble.as_dict()} if document else {"event": "error", **trouble.as_dict()})
        sys.stderr.write(f"{trouble.message} {trouble.hint}\n")
        return trouble.exit_code


def _do(args: argparse.Namespace) -> int:
    """One of the three things; all that can go wrong is a Trouble."""
    try:
        if args.check:
            return check(args.server)
        if args.request:
            return work(_server(args.server), args)
        tell(_server(args.server, pauses=()).get("/v1/capabilities"))
    except OSError as error:
        raise Trouble("resource_exhausted", f"A file cannot be used ({error.strerror}).",
                      "Is the disk full?", exit_code=4) from error  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Trouble("protocol", "The server does not answer as one of ours.", OURS,
                      exit_code=5) from error  # fmt: skip
    return 0


def _server(url: str, pauses: Sequence[float] = PAUSES) -> Server:
    """The server of an address, with the key of the environment."""
    try:
        address = parse_address(url)
    except ValueError as error:
        raise Trouble("bad_address", str(error), exit_code=2) from error
    return Server(address, os.environ.get(KEY, ""), pauses=pauses)


def work(server: Server, args: argparse.Namespace) -> int:
    """Run a job, and stop it when asked to."""
    ear = Ear()
    out = Path(args.out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Trouble("bad_request", "The output folder is not empty.", exit_code=2)
    request = json.loads(Path(args.request).read_text(encoding="utf-8"))
    job = Job(server, request, region=args.region, tell=_silence if args.region else tell)
    try:
        result = job.run(out)
        ear.deafen()
        if args.region:
            del result["event"]
        tell(result)
    except Stopped as stopped:
        ear.deafen()
        server.hurry(GOODBYE_S)
        job.stop()
        return stopped.exit_code
    return 0


def check(url: str) -> int:
    """What a run needs of the server, row by row, as ``cxr-cf doctor --json``; and what it offers.

    Both in one document, for a panel asks for both at once.
    """
    rows: list[dict[str, Any]] = []
    offered: dict[str, Any] = {}
    try:
        server = _server(url, pauses=())  # somebody waits for the answer
        server.get("/healthz")
        rows.append(_row("server", True, "answers"))
        about = server.get("/v1/capabilities")
        rows.append(_row("version", True, str(about["version"])))
        worker = about["worker"] or {}
        device = str(worker.get("device", ""))
        loading = _row("worker", True, "is loading its weights; jobs wait")
        rows.append(_row("device", True, device) if device else loading)
        count = len(about["weights"])
        rows.append(_row("weights", count > 0, f"{count} files", "Reinstall the server."))
        offered = dict(about)
    except Trouble as trouble:
        rows.append(_row("server", False, trouble.message, trouble.hint))
    except (ValueError, KeyError, TypeError, AttributeError):
        rows.append(_row("server", False, "does not answer as one of ours", OURS))
    healthy = all(row["ok"] for row in rows)
    tell({**offered, "ok": healthy, "checks": rows})
    return 0 if healthy else MISSING


def _row(name: str, ok: bool, found: str, hint: str = "") -> dict[str, Any]:
    return {"name": name, "ok": ok, "found": found.removesuffix("."), "hint": hint}


def _silence(event: Mapping[str, Any]) -> None:
    """A document is all that is printed."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, metavar="URL")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--request", metavar="JSON", help="job file")
    what.add_argument("--check", action="store_true", help="is the server as it should be?")
    what.add_argument("--info", action="store_true", help="what does it offer?")
    parser.add_argument("--out", metavar="DIR", help="output folder, new or empty")
    parser.add_argument("--region", action="store_true", help="find organs and region only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
