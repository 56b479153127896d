# SPDX-License-Identifier: Apache-2.0
"""Where an evaluation finds its radiographs: a data folder, or a collection as it was published."""

import argparse
from pathlib import Path
from typing import Any

from monai_cxr_cf.commands.read import add_layout_flags, wanted_from
from monai_cxr_cf.commands.say import announcer


def add_data_flags(parser: Any, *, required: bool = True) -> None:
    """The folder, and how it is laid out."""
    parser.add_argument("--data", required=required, type=Path, metavar="DIR",
                        help="with index.csv and images/, or as --layout says")  # fmt: skip
    add_layout_flags(parser)


def data_from(args: argparse.Namespace, out: Path, *splits: str) -> Path:
    """The data folder that those flags name; a collection becomes one of links below ``out``.

    What of it was read, and what was left out and why, is told on standard error.
    """
    from monai_cxr_cf.evaluation.collection import Source, as_folder

    source = Source(args.data, args.layout, splits, wanted_from(args))
    return as_folder(source, out, tell=announcer(args))
