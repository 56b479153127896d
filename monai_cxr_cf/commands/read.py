# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf read``: what the reader sees in a file or a collection, as words, JSON and PNG."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.commands.options import add_reading_flags, reading_from
from monai_cxr_cf.commands.say import one_source, say, show
from monai_cxr_cf.data.counts import LAYOUTS
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.prompts.clean import UNCERTAIN

if TYPE_CHECKING:
    from monai_cxr_cf.data.table import Wanted
    from monai_cxr_cf.dicom.radiograph import Radiograph

EXAMPLES = """\
examples:
  cxr-cf read chest.dcm                       size, bits, window, spacing, warnings
  cxr-cf read chest.dcm --json --png seen.png
  cxr-cf read scan.png --allow-raster
  cxr-cf read DIR --layout mimic-cxr-jpg      a collection: images, captions, what is left out
"""
BOTH = ("PA", "AP")
# Header elements that describe the image, not the patient.
FACTS = ("Modality", "BodyPartExamined", "ViewPosition", "SOPClassUID", "ConversionType")


def add(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "read",
        parents=[common],
        epilog=EXAMPLES,
        help="what the reader sees in a file",
        description="Read one radiograph as an edit would, and say how it was understood; or with "
        "--layout a collection as a fine-tuning would, and count what it would learn from.",
    )
    parser.add_argument("source", metavar="SOURCE", help="DICOM file or folder")
    parser.add_argument("--png", metavar="FILE", help="also write the picture, 8 bits, as shown")
    add_reading_flags(parser)
    many = parser.add_argument_group("a collection (reads no pixels but of 16-bit files)")
    many.add_argument("--layout", choices=LAYOUTS, help="SOURCE is a data folder laid out so")
    _add_wording_flags(many)
    many.add_argument("--views", default="PA", metavar="PA,AP", help="projections to count (PA)")
    parser.set_defaults(run=run, surplus=one_source)


def add_layout_flags(to: Any) -> None:
    """How the data folder of an evaluation or a fine-tuning is laid out."""
    to.add_argument("--layout", choices=LAYOUTS, default="folder",
                    help="how --data is laid out (folder)")  # fmt: skip
    _add_wording_flags(to)


def _add_wording_flags(to: Any) -> None:
    """Where words come from, and what a doubt in them is."""
    to.add_argument("--reports", type=Path, metavar="DIR", help="mimic-cxr-jpg: where they lie")
    to.add_argument("--uncertain", choices=UNCERTAIN, default="drop",
                    help="what reports only suspect, and labels of -1 (drop)")  # fmt: skip


def wanted_from(args: argparse.Namespace, views: tuple[str, ...] = BOTH) -> "Wanted":
    """Those flags as the readers of collections take them."""
    from monai_cxr_cf.data.table import Wanted

    return Wanted(views, reports=args.reports, uncertain=args.uncertain)


def run(args: argparse.Namespace) -> int:
    """Read, describe, and write the picture if asked."""
    if args.layout:
        return _collection(args)
    if args.reports or args.uncertain != "drop":
        raise BadRequest("--reports and --uncertain go with --layout.", code="usage")
    from monai_cxr_cf.dicom.reading.read import read_source

    radiograph = read_source(args.source, reading_from(args))
    facts = describe(radiograph)
    if args.png:
        from monai_cxr_cf.runs.pictures import grey_png

        grey_png(radiograph.pixels, Path(args.png))
    if args.json:
        show(facts)
        return 0
    for name, value in facts.items():
        if name != "warnings":
            say(f"{name:<12} {_words(value)}")
    for item in facts["warnings"]:
        say(f"warning      {item['message']}")
    return 0


def _collection(args: argparse.Namespace) -> int:
    """Count a data folder as a fine-tuning would read it."""
    from monai_cxr_cf.data.captioned import survey

    views = tuple(part.strip().upper() for part in args.views.split(","))
    rows, counts = survey(args.layout, Path(args.source), wanted_from(args, views))
    common = Counter(row.prompt or "(none: not learnt from)" for row in rows).most_common(10)
    if args.json:
        show({**counts.as_dict(), "captions_most_common": [list(pair) for pair in common]})
        return 0
    for line in counts.lines():
        say(line)
    for prompt, count in common:
        say(f"{count:>9,}  {prompt}")
    return 0


def describe(radiograph: "Radiograph") -> dict[str, Any]:
    """JSON-ready facts of a radiograph; nothing that names a patient or a day."""
    header = radiograph.header
    rows, columns = radiograph.turn.pair(radiograph.shape)  # as the file has them
    found = {
        name: str(header[name].value) for name in FACTS if header is not None and name in header
    }
    return {
        "kind": "raster" if header is None else "dicom",
        "rows": rows,
        "columns": columns,
        "bits_stored": radiograph.bits_stored,
        "signed": radiograph.signed,
        "polarity": radiograph.polarity,
        "voi": radiograph.voi.as_dict(),
        "spacing": radiograph.as_stored().spacing.as_dict(),
        "padding": list(radiograph.padding) if radiograph.padding else None,
        "valid_share": round(float(radiograph.valid.mean()), 4),
        "header": found,
        "sha256": radiograph.sha256,
        "warnings": [{"code": code, "message": text} for code, text in radiograph.warnings],
    }


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items() if v is not None)
    return "none" if value is None else str(value)
