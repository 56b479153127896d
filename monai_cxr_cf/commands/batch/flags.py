# SPDX-License-Identifier: Apache-2.0
"""Flags that several parts of ``cxr-cf batch`` share, and what they mean."""

import argparse
import json
from typing import Any

from monai_cxr_cf.batch.edit_work import ALL, EditWork
from monai_cxr_cf.batch.how import How
from monai_cxr_cf.batch.rows.columns import request_of
from monai_cxr_cf.batch.store.run_folder import FOLDERS, RunFolder
from monai_cxr_cf.commands.options import add_cache_flags, cache_from
from monai_cxr_cf.commands.say import count
from monai_cxr_cf.errors import BadRequest


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return value


def add_field_flag(parser: Any) -> None:
    """Fields that all rows share."""
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a field of every row that does not say it itself, e.g. preset=fast, png=true, "
        "backbone=/models/sd15, reading.allow_raster=true",
    )


def fields_from(args: argparse.Namespace) -> dict[str, str]:
    """Those fields as cells by column; BadRequest for one without a value."""
    found = {}
    for text in args.field:
        name, sign, value = text.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise BadRequest(f"--field {text[:40]} is no NAME=VALUE.", hint="E.g. preset=fast.")
        found[name.strip()] = value.strip()
    return found


def common_from(args: argparse.Namespace) -> dict[str, Any]:
    """Those fields as a request holds them."""
    cells = fields_from(args)
    found = request_of(cells)
    lost = [name for name in cells if "." not in name and name not in found]
    lost = [name for name in lost if not ("findings" in found and name in found["findings"][0])]
    if lost:
        raise BadRequest(f"'{lost[0]}' in --field is no field of a request.",
                         hint="See docs/batch.md 2.")  # fmt: skip
    return found


def add_how_flags(parser: argparse.ArgumentParser) -> None:
    """Who works, how long, how often again; all may differ from start to start."""
    group = parser.add_argument_group("how it goes; may differ at every start")
    group.add_argument("--workers", type=count, default=1, metavar="N",
                       help="processes that edit [1]; each takes about .7 GB")  # fmt: skip
    group.add_argument("--timeout", type=positive, default=3600.0, metavar="S",
                       help="seconds a row; its worker is ended then [3600]")  # fmt: skip
    group.add_argument("--memory-gb", type=positive, metavar="GB",
                       help="memory of a worker; it is ended beyond [no limit]")  # fmt: skip
    group.add_argument("--max-attempts", type=count, default=3, metavar="N",
                       help="attempts at a row that fails [3]; a refused one has none")  # fmt: skip
    group.add_argument("--retry-failed", action="store_true",
                       help="try rows again that were given up")  # fmt: skip
    group.add_argument("--stop-after-failures", default="", metavar="N|N%",
                       help="stop after so many failed rows, or such a share [never]")  # fmt: skip
    parser.add_argument("--progress", choices=["bar", "ndjson", "none"], default="bar",
                        help="bar, or one JSON event a line on standard output")  # fmt: skip
    add_cache_flags(parser)


def how_from(args: argparse.Namespace, threads: int) -> How:
    """Those flags as the engine takes them."""
    return How(
        workers=args.workers,
        threads=threads,
        timeout=args.timeout,
        memory=None if args.memory_gb is None else int(args.memory_gb * 1e9),
        attempts=args.max_attempts,
        retry=args.retry_failed,
        stop_after=args.stop_after_failures,
    )


def work_of(folder: RunFolder, args: argparse.Namespace | None = None) -> EditWork:
    """The work that a folder was begun with; its first row says which models to load first."""
    told = dict(folder.read().fingerprint)
    first = next(iter(folder.read_plan(0)), None)
    models = {} if first is None else first.request
    chosen: dict[str, Any] = {n: models[n] for n in ("backbone", "segmenter") if n in models}
    chosen |= {name: told[name] for name in ("device", "precision", "compiled", "arrays")}
    chosen |= {"keep": told.get("keep", ALL), "sources": folder.sources}
    return EditWork(**chosen, **({} if args is None else cache_from(args)))


def settings_from(args: argparse.Namespace) -> dict[str, Any]:
    """What the bytes of a row depend on besides the manifest: device, precision, threads."""
    told = {"device": args.device, "precision": args.precision, "compiled": args.compile}
    settings = {**told, "threads": args.threads or 1, "arrays": args.arrays}
    settings |= {} if args.output == FOLDERS else {"output": args.output}
    settings |= {} if args.keep == ALL else {"keep": args.keep}
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found
