# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf``: the words of a command line in, an exit code out; each verb lives in ``commands``.

Parsing needs the standard library only, so ``--help`` answers at once; a verb imports what it
needs when it runs. Errors become one sentence, a hint and an exit code (``errors``).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from monai_cxr_cf import __version__, imports, threads
from monai_cxr_cf.commands import (
    audit,
    doctor,
    edit,
    info,
    pacs,
    read,
    segment,
    serve,
    train,
    verify,
    viewer,
)
from monai_cxr_cf.commands.batch import verb as batch
from monai_cxr_cf.commands.evaluate import verb as evaluate
from monai_cxr_cf.commands.say import complain, count, details, show
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.runs.cancel import Cancellation, cancellable
from monai_cxr_cf.runs.failures import quiet_libraries, typed
from monai_cxr_cf.runs.progress import Silent, reporter

ABOUT = """\
Counterfactual chest radiographs: "what if this patient had a pleural effusion?"
A radiograph and a few words in; the edited radiograph, its masks and a report out, as DICOM.
For research, never for diagnosis."""
EXAMPLES = """\
first steps:
  cxr-cf doctor                                    is everything installed?
  cxr-cf info                                      which findings, presets and weights
  cxr-cf edit chest.dcm --prompt "moderate left pleural effusion" --out out
  cxr-cf edit chest.dcm --prompt "cardiomegaly" --out out2
  cxr-cf edit --help                               every dial, with its meaning
"""
VERBS = (
    *(edit, batch, audit, read, segment, info, doctor, train, evaluate, serve, viewer, pacs),
    verify,
)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line like any other bad request; flags are never abbreviated."""

    def __init__(self, **keywords: Any) -> None:
        shape = argparse.RawDescriptionHelpFormatter
        super().__init__(**{"formatter_class": shape, "allow_abbrev": False, **keywords})

    def error(self, message: str) -> NoReturn:
        """One sentence and where to look."""
        raise BadRequest(f"{message}.", code="usage", hint=f"See: {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(prog="cxr-cf", description=ABOUT, epilog=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"cxr-cf {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    talk = common.add_argument_group("how it talks")
    talk.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    talk.add_argument("--verbose", "-v", action="store_true", help="log what is done")
    talk.add_argument("--debug", action="store_true", help="log more; traceback of an error")
    talk.add_argument("--threads", type=count, metavar="N", help="threads of the numeric libraries")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add(verbs, common)
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What a command line says; BadRequest for what no verb understands."""
    parser = build_parser()
    args, surplus = parser.parse_known_args(words)
    if surplus and "surplus" in args:
        args.surplus(args, surplus)  # the verb may know what was meant
    if surplus:
        parser.error(f"unrecognized arguments: {' '.join(surplus)}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (0 done, 1 bug, 2 input, 3 missing, 4 resources)."""
    words = list(sys.argv[1:] if argv is None else argv)
    quiet_libraries(debug="--debug" in words, verbose="--verbose" in words or "-v" in words)
    talker: Silent | None = None
    state = Cancellation()
    try:
        args = parse(words)
        threads.prepare(args.threads)  # before any numeric library is loaded
        imports.prepare()
        kind = getattr(args, "progress", "none")
        with cancellable(state, stdin=kind == "ndjson"):
            talker = args.talker = reporter(kind, state.check)
            return int(args.run(args) or 0)
    except BrokenPipeError:
        # The reader of our output is gone (``| head``): nobody is left to tell, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (Exception, KeyboardInterrupt) as raised:
        # Library code may turn the exception of a signal into one of its own.
        error = state.error() if state.asked else typed(raised)
        if "--debug" in words:
            details(raised)
        if talker is None and "ndjson" in words:
            talker = reporter("ndjson", lambda: None)
        if talker is not None:
            talker.close()
        complain(error)  # first: who hears the event may end this process at once
        if talker is not None:
            talker.error(error)
        if "--json" in words:
            show({"error": error.as_dict()})
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
