# SPDX-License-Identifier: Apache-2.0
"""How the command line speaks: results on standard output, everything else on standard error.

And how it hears: a number out of range is refused by name.
"""

import argparse
import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from monai_cxr_cf.dicom.privacy import install_privacy_filter
from monai_cxr_cf.errors import REINSTALL, Cancelled, ComponentMissing, CxrError, ResourceExhausted


def count(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1")
    return int(text)


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


def typed(error: BaseException) -> CxrError:
    """Any exception as one of ours; foreign texts are dropped: they may name patients."""
    if isinstance(error, CxrError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled(interrupted=True)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ResourceExhausted(
            "The machine ran out of memory.", hint="Try --preset fast, or fewer seeds."
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhausted("The disk is full.", hint="Make room, or choose another --out.")
    if isinstance(error, ModuleNotFoundError):
        return ComponentMissing(
            f"The Python package '{error.name}' is missing.",
            hint=REINSTALL,
        )
    return CxrError(
        f"An unexpected {type(error).__name__} ended the run: a bug of this program.",
        hint="Run it again with --debug for the traceback, and look through it before sharing.",
    )


def announcer(args: argparse.Namespace) -> Callable[[str], None]:
    """What tells on standard error what comes and how long it takes, unless --progress is none."""

    def announce(words: str) -> None:
        if args.progress != "none":
            sys.stderr.write(words + "\n")

    return announce


def details(error: BaseException) -> None:
    """The traceback, for ``--debug`` only: it carries paths and perhaps header values."""
    traceback.print_exception(error, file=sys.stderr)


def quiet_libraries(*, debug: bool, verbose: bool) -> None:
    """Hubs offline, no telemetry, and no library that echoes header values (docs/usage.md 7)."""
    if os.environ.get("CXR_CF_ALLOW_HUB") != "1":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("monai_cxr_cf").setLevel(level)
    install_privacy_filter()
