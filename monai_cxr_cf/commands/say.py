# SPDX-License-Identifier: Apache-2.0
"""How the command line speaks: results on standard output, everything else on standard error.

And how it hears: a number out of range is refused by name.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai_cxr_cf.devices import AUTO, PRECISIONS
from monai_cxr_cf.dicom.reading.options import ONE_AN_EDIT
from monai_cxr_cf.errors import BadRequest, CxrError


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1")
    return int(text)


def one_source(args: argparse.Namespace, surplus: Sequence[str]) -> None:
    """Refuse words beside SOURCE: more files, or a prompt without its quotation marks.

    Args:
        args: what was understood of the command line.
        surplus: the words that were not; unknown flags among them are left to the parser.
    """
    if any(word.startswith("-") for word in surplus):
        return
    named = [word for word in (args.source, *surplus) if word]
    files = [word for word in named if Path(word).suffix or Path(word).exists()]
    if isinstance(getattr(args, "prompt", None), str) and len(files) < len(named):
        raise BadRequest(
            f"{len(named)} words stand apart where one source is expected.",
            code="usage",
            hint='Put quotation marks around a prompt: --prompt "left pleural effusion".',
        )
    raise BadRequest(
        f"{len(named)} sources are named; expected one.",
        code="several_sources",
        hint=ONE_AN_EDIT,
    )


def add_place_flags(parser: argparse.ArgumentParser) -> None:
    """Where the UNet runs, and how many digits it keeps."""
    group = parser.add_argument_group("where it is computed, and how exactly")
    group.add_argument("--device", default=AUTO, metavar="NAME",
                       help="auto, cpu, cuda, cuda:N or mps [auto: cuda, else cpu]")  # fmt: skip
    group.add_argument("--precision", choices=PRECISIONS, default=AUTO,
                       help="of the UNet [auto: bf16 if it is large, else fp32]")  # fmt: skip
    group.add_argument("--compile", action="store_true",
                       help="compile the UNet's blocks; meant for many edits on a GPU")  # fmt: skip


def place_from(args: argparse.Namespace) -> dict[str, Any]:
    """Those flags as ``Networks`` takes them."""
    return {"device": args.device, "precision": args.precision, "compiled": args.compile}


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def show(data: Any) -> None:
    """The result as JSON."""
    say(json.dumps(data, indent=2, ensure_ascii=False))


def complain(error: CxrError) -> None:
    """One sentence and the next step."""
    sys.stderr.write(f"cxr-cf: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"        {error.hint}\n")


def announcer(args: argparse.Namespace) -> Callable[[str], None]:
    """What tells on standard error what comes and how long it takes, unless --progress is none."""

    def announce(words: str) -> None:
        if getattr(args, "progress", "bar") != "none":
            sys.stderr.write(words + "\n")

    return announce


def details(error: BaseException) -> None:
    """The traceback, for ``--debug`` only: it carries paths and perhaps header values."""
    traceback.print_exception(error, file=sys.stderr)
