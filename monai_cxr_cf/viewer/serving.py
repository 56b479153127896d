# SPDX-License-Identifier: Apache-2.0
"""The viewer's server: page, scene and session put together, on this computer only by default."""

import argparse
import logging
import os
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application import ViewerApp
    from .session import ViewerSession

NAME = "cxr-cf viewer"


def serve(sample: Path, words: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        sample: the radiograph behind "Open the sample".
        words: of the command line, without the program.
    """
    args = _words(words)
    _prepare()
    from trame.app import get_server

    from . import fields, page
    from .application import ViewerApp
    from .session import ViewerSession
    from .views import Views

    server = get_server(NAME, client_type="vue3")
    server.state.update(fields.FIELDS)
    views = Views(server)
    app = ViewerApp(views)
    session = ViewerSession(server, app, views)
    page.build(server, session, views, sample)
    _open_door(server, app, session, args)
    try:
        server.start(
            port=args.port, host=args.host, open_browser=False, show_connection_info=False,
            disable_logging=True, timeout=0,
        )  # fmt: skip
    finally:
        session.close()
    return 0


def _prepare() -> None:
    """What the libraries must find before they are imported."""
    logging.getLogger().setLevel(logging.ERROR)  # their warnings name files
    os.environ["TRAME_ARGS"] = ""  # our words are not trame's
    os.environ["WSLINK_READY_MSG"] = ""
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def _open_door(
    server: Any, app: "ViewerApp", session: "ViewerSession", args: argparse.Namespace
) -> None:
    """Guard every route, and say where the page is when it is there."""
    from . import files, guard

    key = secrets.token_urlsafe(18)

    def bind(wslink: Any) -> None:
        wslink.app.middlewares.append(guard.guarded(args.host, key))
        files.add_routes(wslink.app.router, app, session)

    def ready(**_: Any) -> None:
        name = f"[{args.host}]" if ":" in args.host else args.host
        address = f"http://{name}:{server.port}/?key={key}"
        sys.stdout.write(f"{NAME} on {address}\nresearch only; for one user; Ctrl-C ends\n")
        sys.stdout.flush()
        session.begin()
        if args.file is not None:
            session.open_file(args.file, args.file.name)
        if args.browser:
            webbrowser.open(address)

    server.controller.on_server_bind.add(bind)
    server.controller.on_server_ready.add(ready)


def _words(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(NAME)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--no-browser", dest="browser", action="store_false")
    return parser.parse_args(words)
