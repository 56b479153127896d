# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch plan``: radiographs and edits in, a manifest out."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.batch.choose import (
    Source,
    check_manifest_name,
    collection,
    edits,
    sources,
    write_manifest,
)
from monai_cxr_cf.batch.store.files import remove
from monai_cxr_cf.commands.batch.flags import add_field_flag, fields_from
from monai_cxr_cf.commands.read import wanted_from
from monai_cxr_cf.commands.say import say, show
from monai_cxr_cf.data.counts import LAYOUTS
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.clean import UNCERTAIN

EXAMPLES = """\
examples:
  cxr-cf batch plan scans/ --prompt "left pleural effusion" --out manifest.csv
  cxr-cf batch plan a.dcm b.dcm "more/*.dcm" --prompt edema --prompt "no edema" --out m.csv
  cxr-cf batch plan scans/ --grid "finding=edema|cardiomegaly,severity=0.3|0.7,seeds=1|2" \\
      --field png=true --out manifest.csv                  8 rows a radiograph
  cxr-cf batch plan MIMIC --layout mimic-cxr-jpg --splits train --prompt cardiomegaly --out m.csv
  cxr-cf batch plan https://pacs.example/dicom-web --date 20260101 --prompt edema --out m.csv
  cxr-cf batch plan delivery.zip --prompt edema --out m.csv       unpacked into m-unpacked/
  cxr-cf batch plan pictures/ --field reading.allow_raster=true --prompt edema --out m.jsonl

A manifest is an ordinary table: look at it, sort it, delete rows, add columns. Images of one
patient get the same word in the column patient (p1, p2, ...), never the identifier of the header.
exit code: 0 written, 2 bad input
"""


def add(parts: Any, common: argparse.ArgumentParser) -> None:
    """Declare the part."""
    parser = parts.add_parser(
        "plan",
        parents=[common],
        epilog=EXAMPLES,
        help="write a manifest: these radiographs, these edits",
        description="Write a manifest: every radiograph with every edit.",
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE",
                        help="files, folders, globs, zip files, a DICOMDIR, the URL of a DICOMweb "
                        "store; or with --layout a data folder")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE",
                        help="the manifest, .csv or .jsonl; must not be there")  # fmt: skip
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT",
                        help="an edit in words; may be given several times")  # fmt: skip
    parser.add_argument("--grid", default="", metavar="NAME=A|B,...",
                        help="every value with every other: finding, side, seeds, ...")  # fmt: skip
    add_field_flag(parser)
    parser.add_argument("--date", metavar="DAY[-DAY]",
                        help="of a store: studies of these days, YYYYMMDD")  # fmt: skip
    many = parser.add_argument_group("a collection")
    many.add_argument("--layout", choices=LAYOUTS, help="SOURCE is a data folder laid out so")
    many.add_argument("--views", default="PA", metavar="PA,AP", help="projections (PA)")
    many.add_argument("--splits", default="", metavar="NAME,NAME", help="its splits (all)")
    many.add_argument("--reports", type=Path, metavar="DIR", help="mimic-cxr-jpg: where they lie")
    many.add_argument("--uncertain", choices=UNCERTAIN, default="drop",
                      help="what reports only suspect (drop)")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Choose, combine, write, and say how much that is."""
    asked = edits(args.prompt, args.grid, fields_from(args))
    left_out: list[str] = []
    if args.layout:
        chosen, left_out = _collection(args)
    else:
        chosen = _chosen(args)
    rows = write_manifest(args.out, chosen, asked)
    patients = {source.cells["patient"] for source in chosen if "patient" in source.cells}
    facts = {"manifest": str(args.out), "rows": rows, "radiographs": len(chosen)}
    facts |= {"edits": len(asked), "patients": len(patients) or None}
    if args.json:
        show({**facts, "collection": left_out})
        return 0
    for line in left_out:
        say(line)
    of = f" of {len(patients):,} patient(s)" if patients else ""
    say(
        f"{args.out}: {rows:,} row(s), {len(chosen):,} radiograph(s){of}, {len(asked)} edit(s) each"
    )
    say(f"next: cxr-cf batch run {args.out} --out DIR --dry-run")
    return 0


def _chosen(args: argparse.Namespace) -> list[Source]:
    """The sources; what zip files among them hold lies beside the manifest then."""
    check_manifest_name(args.out)
    packed = args.out.with_name(f"{args.out.name.partition('.')[0]}-unpacked")
    if packed.exists():
        raise BadRequest(
            f"The folder '{packed.name}' is there already.",
            hint="Zip files are unpacked into it: name another --out.",
        )
    try:
        return list(sources(args.sources, packed, args.date))
    except BaseException:
        remove(packed)
        raise


def _collection(args: argparse.Namespace) -> tuple[list[Source], list[str]]:
    if len(args.sources) > 1:
        raise BadRequest("--layout takes one data folder.", hint="Make a manifest for each.")
    views = tuple(part.strip().upper() for part in args.views.split(","))
    splits = [part.strip() for part in args.splits.split(",") if part.strip()]
    return collection(Path(args.sources[0]), args.layout, wanted_from(args, views), splits)
