# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf serve``: the same edits over HTTP, for Slicer, OHIF, scripts and people."""

import argparse
import logging
import os
import re
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.say import add_place_flags, place_from, say
from monai_cxr_cf.devices import check_place
from monai_cxr_cf.errors import INSTALL_EXTRA, BadRequest, ComponentMissing, ResourceExhausted
from monai_cxr_cf.server.access.alone import alone
from monai_cxr_cf.server.settings import JUDGES, Limits, Settings

KEY = "CXR_CF_SERVER_KEY"
EXAMPLES = f"""\
examples:
  cxr-cf serve                                          this machine only: http://127.0.0.1:8000
  cxr-cf serve --dicomweb http://127.0.0.1:8042/dicom-web --allow-store
  cxr-cf serve --audit-model mine=net.onnx --audit-preprocessing mine=audit.yaml
  {KEY}=... cxr-cf serve --host 0.0.0.0 --allow-host cxr.hospital.example

off loopback an API key is required, from {KEY} or --key-file; clients send
Authorization: Bearer KEY. There is no TLS: put a proxy before it.
/docs explains every route. Needs, in the checkout: pip install -c constraints.txt '.[server]'
"""


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "serve",
        parents=[common],
        epilog=EXAMPLES,
        help="answer over HTTP",
        description="Serve edits over HTTP; the models stay loaded in worker processes.",
    )
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="address [127.0.0.1]")
    where.add_argument("--port", type=int, default=8000, metavar="N", help="port [8000]")
    where.add_argument("--data", type=Path, metavar="DIR", help="queue, uploads and results")
    who = parser.add_argument_group("who may call")
    who.add_argument("--key-file", type=Path, metavar="FILE", help="its first line is the API key")
    who.add_argument("--allow-host", action="append", default=[], metavar="NAME",
                     help="a further name of this server")  # fmt: skip
    who.add_argument("--allow-origin", action="append", default=[], metavar="URL",
                     help="another web page that may call")  # fmt: skip
    _add_offers(parser)
    much = parser.add_argument_group("how much")
    much.add_argument("--workers", type=int, default=1, metavar="N",
                      help="edits at once; each holds the models [1]")  # fmt: skip
    much.add_argument("--max-upload-mb", type=float, default=512, metavar="N",
                      help="an upload [512]")  # fmt: skip
    much.add_argument("--max-pixels", type=int, default=64_000_000, metavar="N",
                      help="an image [64000000]")  # fmt: skip
    much.add_argument("--max-queue", type=int, default=1000, metavar="N", help="jobs [1000]")
    much.add_argument("--keep-hours", type=float, default=24, metavar="N", help="results [24]")
    much.add_argument("--max-stored-gb", type=float, default=20, metavar="N",
                      help="uploads and results together [20]")  # fmt: skip
    add_place_flags(parser)
    parser.set_defaults(run=run)


def _add_offers(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what it offers")
    what.add_argument("--backbone", action="append", default=[], metavar="NAME=MODEL",
                      help="a model to offer; the first is the default [cxr-mini]")  # fmt: skip
    what.add_argument("--audit-model", action="append", default=[], metavar="NAME=MODEL",
                      help="a classifier that may be audited [j1, j2]")  # fmt: skip
    what.add_argument("--audit-preprocessing", action="append", default=[], metavar="NAME=FILE",
                      help="its audit.yaml")  # fmt: skip
    what.add_argument("--dicomweb", metavar="URL", help="root of a DICOM store")
    what.add_argument("--studies", type=Path, metavar="DIR",
                      help="images for MONAI Label clients, by their names")  # fmt: skip
    what.add_argument("--allow-store", action="store_true",
                      help="results may be sent to that store")  # fmt: skip


def _check_system() -> None:
    """ComponentMissing on Windows: the server locks its folder and limits its decoders."""
    if find_spec("fcntl") is None:
        raise ComponentMissing(
            "The server needs file locks and limits that this system does not have.",
            hint="Run it on Linux or macOS, in WSL, or from its container.",
        )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    _check_system()
    settings = settings_from(args)
    check_place(settings.device, settings.precision)  # here, not in a worker that would die of it
    try:
        import uvicorn

        from monai_cxr_cf.server.access.protocol import Server, WithholdTraceback, patient
        from monai_cxr_cf.server.app import create_app
    except ModuleNotFoundError as error:
        raise ComponentMissing(
            f"The Python package '{error.name}' is missing.",
            hint=INSTALL_EXTRA.format("server"),
        ) from error

    # Worker and fork server, children of their own, must not import from the folder we started in.
    os.environ["PYTHONSAFEPATH"] = "1"
    logging.getLogger("monai_cxr_cf").setLevel(logging.DEBUG if args.debug else logging.INFO)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(WithholdTraceback())
    with alone(settings.data), _listening(settings) as door:
        config = uvicorn.Config(
            create_app(settings),
            http=patient(settings.limits.idle_s),
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=2000,
            timeout_graceful_shutdown=5,
        )
        host, port = door.getsockname()[:2]
        say(f"cxr-cf server on http://{f'[{host}]' if ':' in host else host}:{port}  (Ctrl-C ends)")
        say("research only; /docs explains the routes")
        Server(config).run(sockets=[door])
    return 0


def settings_from(args: argparse.Namespace) -> "Settings":
    """The settings that the flags and the environment describe; BadRequest if they are unsafe."""

    backbones = dict(_named(text) for text in args.backbone) or {"cxr-mini": "cxr-mini"}
    limits = Limits(
        upload_bytes=int(args.max_upload_mb * 1e6),
        max_pixels=args.max_pixels,
        queue=args.max_queue,
        age_s=args.keep_hours * 3600,
        stored_bytes=int(args.max_stored_gb * 1e9),
    )
    return Settings(
        data=(args.data or _data_folder()).expanduser().absolute(),
        host=args.host,
        port=args.port,
        key=_key(args.key_file),
        hosts=tuple(args.allow_host),
        origins=tuple(args.allow_origin),
        backbones=backbones,
        backbone=next(iter(backbones)),
        audits=_audits(args.audit_model, args.audit_preprocessing),
        **place_from(args),
        workers=args.workers,
        dicomweb=args.dicomweb,
        studies=args.studies.expanduser().absolute() if args.studies else None,
        allow_store=args.allow_store,
        limits=limits,
    )


def _named(text: str) -> tuple[str, str]:
    name, sign, model = text.partition("=")
    return (name, model) if sign and name and model else (text, text)


def _audits(models: list[str], files: list[str]) -> dict[str, tuple[str, str | None]]:
    """What may be audited; declarations are tried."""
    declared = dict(text.partition("=")[::2] for text in files)
    found: dict[str, tuple[str, str | None]] = {}
    for name, spec in (text.partition("=")[::2] for text in models):
        if not spec or not re.fullmatch(r"[\w.-]+", name) or name in JUDGES:
            raise BadRequest("--audit-model is not NAME=MODEL.", hint="Such as mine=net.onnx.")
        found[name] = (spec, declared.pop(name, None))
    if declared:
        raise BadRequest("--audit-preprocessing names no --audit-model.", hint="Write NAME=FILE.")
    for spec, file in found.values():
        if file is None and not (Path(spec) / "model.safetensors").is_file():
            raise BadRequest("An --audit-model has no --audit-preprocessing.")
        if file is not None:
            from monai_cxr_cf.audit.adapters.declared import read_declared

            read_declared(Path(file))
    return found


def _data_folder() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base) / "cxr-cf" / "server"


def _key(file: Path | None) -> str | None:
    """The API key; it never stands in a command line, which every user of a machine can read."""
    if file is None:
        return os.environ.get(KEY) or None
    try:
        return file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, ValueError) as error:
        raise BadRequest("The key file cannot be read.", hint="Check --key-file.") from error


def _listening(settings: "Settings") -> socket.socket:
    """The open door: a port that is taken is said in one sentence."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((settings.host, settings.port))
    except OSError as error:
        door.close()
        raise ResourceExhausted(
            f"Cannot listen on {settings.host} port {settings.port} ({error.strerror}).",
            hint="Choose another --port, or end the program that uses it.",
        ) from error
    return door
