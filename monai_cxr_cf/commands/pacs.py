# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf pacs find|fetch|store``: radiographs from a DICOM store and results into it."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.errors import BadRequest

EXAMPLES = """\
examples:
  cxr-cf pacs find https://pacs.example/dicom-web --date 20260101-20260131
  cxr-cf pacs find https://pacs.example/dicom-web --study 1.2.840... --json
  cxr-cf pacs fetch https://pacs.example/dicom-web STUDY SERIES INSTANCE --out chest.dcm
  cxr-cf pacs store https://pacs.example/dicom-web out --verify
  cxr-cf pacs store dimse://ARCHIVE@pacs.example:104 out

credentials: CXR_CF_PACS_USER and CXR_CF_PACS_PASSWORD, or CXR_CF_PACS_TOKEN, in the environment.
store sends every DICOM file of an output folder and a SYNTHETIC banner; twice is harmless.
"""
SENT = ("cf/*.dcm", "diff/*.dcm", "seg.dcm", "sr.dcm")


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb and what it can do."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = verbs.add_parser(
        "pacs",
        epilog=EXAMPLES,
        formatter_class=raw,
        help="find, fetch and store in a DICOM store",
        description="Talk to a DICOM store by DICOMweb, or send to a DICOM node by C-STORE.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    find = actions.add_parser("find", parents=[common], help="list CR and DX images")
    find.add_argument("url", metavar="URL", help="root of the DICOMweb store")
    find.add_argument("--study", metavar="UID", help="the images of this study")
    find.add_argument("--date", metavar="DAY[-DAY]", help="studies of these days, YYYYMMDD")
    find.set_defaults(run=run_find)
    fetch = actions.add_parser("fetch", parents=[common], help="write one image to a file")
    for name in ("url", "study", "series", "instance"):
        fetch.add_argument(name, metavar=name.upper())
    fetch.add_argument("--out", required=True, type=Path, metavar="FILE", help="a new file")
    fetch.set_defaults(run=run_fetch)
    store = actions.add_parser("store", parents=[common], help="send an output folder")
    store.add_argument("to", metavar="URL", help="DICOMweb root, or dimse://AE_TITLE@host:port")
    store.add_argument("folder", type=Path, metavar="DIR", help="what `cxr-cf edit --out` made")
    store.add_argument("--verify", action="store_true", help="fetch back and compare pixels")
    store.set_defaults(run=run_store)


def run_find(args: argparse.Namespace) -> int:
    """List series, or the instances of one study; identifiers only."""
    from monai_cxr_cf.dicom.store.pacs import Pacs

    pacs = Pacs(args.url)
    found = pacs.find(study=args.study) if args.study else pacs.find_series(date=args.date)
    if args.json:
        show([vars(item) for item in found])
        return 0
    if not found:
        say("The store has no CR or DX image that fits.")
    for item in found:
        count = getattr(item, "instances", None)  # stores need not tell it
        last = getattr(item, "instance", None) or f"{'?' if count is None else count} images"
        say(f"{item.modality or '--'}  {item.study}  {item.series}  {last}")
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    """Fetch one instance; a file that is there is not replaced."""
    from monai_cxr_cf.dicom.store.pacs import Pacs

    if args.out.exists():
        raise BadRequest("The output file exists.", code="output_exists", hint="Name a new one.")
    if not args.out.absolute().parent.is_dir():
        raise BadRequest("The folder of --out does not exist.", code="no_folder")
    Pacs(args.url).fetch(args.study, args.series, args.instance, args.out.absolute())
    if args.json:
        show({"bytes": args.out.stat().st_size})
    else:
        say(args.out.as_posix())
    return 0


def run_store(args: argparse.Namespace) -> int:
    """Send a finished output folder, banner included."""

    from monai_cxr_cf.dicom.store.dimse import parse_node, send
    from monai_cxr_cf.dicom.store.pacs import Pacs
    from monai_cxr_cf.dicom.writing.banner import write_banner

    node = parse_node(args.to) if args.to.startswith("dimse://") else None
    if node is not None and args.verify:
        raise BadRequest("C-STORE cannot read back.", hint="--verify needs a DICOMweb store.")
    paths = [path for pattern in SENT for path in sorted(args.folder.glob(pattern))]
    images = [path for path in paths if path.parent.name == "cf"]
    if not images:
        raise BadRequest("The folder holds no counterfactual.", hint="Name the --out of an edit.")
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        paths.append(write_banner(images, Path(folder)).path)
        if node is not None:
            count = send(paths, node, warn=told.append)
        else:
            count = Pacs(args.to).store(paths, verify=args.verify, warn=told.append)
    if args.json:
        show({"stored": count, "verified": args.verify, "warnings": told})
    else:
        for text in told:
            say(f"warning: {text}")
        say(f"{count} files stored{', pixels compared' if args.verify else ''}.")
    return 0
