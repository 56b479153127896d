# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf viewer``: a Slicer in the browser, for people who have none."""

import argparse
import ipaddress
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands import viewer_environment
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import BadRequest

EXAMPLES = """\
examples:
  cxr-cf viewer --install                   once: an environment of its own, in your cache
  cxr-cf viewer chest.dcm                   opens the page in your browser
  cxr-cf viewer --port 0 --no-browser       any free port; the address is printed

for one user on this computer: the address that is printed carries a key.
"""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "viewer",
        parents=[common],
        epilog=EXAMPLES,
        help="look and edit in the browser",
        description="Open a radiograph in the browser, edit it, compare; drawn by Slicer's own "
        "libraries.",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="DICOM file to open")
    parser.add_argument("--host", default="127.0.0.1", help="address [127.0.0.1]")
    parser.add_argument("--port", type=int, default=8050, metavar="N", help="port; 0: any [8050]")
    parser.add_argument("--no-browser", action="store_true", help="open no browser")
    parser.add_argument("--python", metavar="FILE", help="Python of an environment of its own")
    parser.add_argument("--install", action="store_true", help="make that environment, then end")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the viewer, or make its environment."""
    if args.install:
        viewer_environment.install(lambda text: say(f"$ {text}"))
        place = str(viewer_environment.folder())
        show({"environment": place}) if args.json else say(f"Ready in {place}: cxr-cf viewer")
        return 0
    python = viewer_environment.interpreter(args.python)
    command = viewer_environment.start_words(python, _words(args))
    environment = {**os.environ, viewer_environment.RUNNER: sys.executable}
    if os.name != "nt":
        # This process becomes the viewer: signals reach it, nothing of the product stays loaded.
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)


def _words(args: argparse.Namespace) -> list[str]:
    """What the viewer is told; BadRequest for what cannot be."""
    if not _loopback(args.host):
        raise BadRequest(
            "The viewer listens on this computer only (127.0.0.1, ::1): it has no TLS.",
            hint="From elsewhere: ssh -L 8050:127.0.0.1:8050 HOST; or cxr-cf serve behind a proxy.",
        )
    if not 0 <= args.port <= 65535:
        raise BadRequest("The port lies between 0 and 65535.", hint="--port 0 takes any.")
    if args.file is not None and not args.file.is_file():
        raise BadRequest("The file to open does not exist.", hint="Name one DICOM file.")
    words = ["--host", args.host, "--port", str(args.port)]
    words += ["--no-browser"] if args.no_browser else []
    return words if args.file is None else [*words, "--", str(args.file.absolute())]


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
