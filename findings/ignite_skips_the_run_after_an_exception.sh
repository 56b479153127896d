#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pytorch-ignite does nothing, and says nothing, in the run that follows one that raised.
#
# Engine.run keeps the generator of its loop. A step that raises leaves the finished generator in
# place: the next run() asks it once more, gets StopIteration and returns None without a step. The
# run after that one works again. With a handler of Events.EXCEPTION_RAISED the loop ends in order,
# and no run is lost.
# Seen: pytorch-ignite 0.5.5 with torch 2.13.0: runs over "bad", "one", "two" handle "two" alone;
# with the handler "one" and "two".
# Why it matters: MONAI's evaluators and trainers are such engines. A program that runs one image
# after the other, and goes on after a refused one, loses the next image without a word.
# Exit code: 0 while this is so, 1 if it has changed.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 pytorch-ignite==0.5.5 numpy
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import logging
import sys

import ignite
import torch
from ignite.engine import Engine, Events

logging.disable(logging.CRITICAL)


def handled(keep: bool) -> tuple[list[str], list[bool]]:
    """Images that a step saw, and which runs returned nothing."""
    seen: list[str] = []

    def step(_: Engine, image: str) -> None:
        if image == "bad":
            raise ValueError(image)
        seen.append(image)

    engine, empty = Engine(step), []
    if keep:
        engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _, error: None)
    for image in ("bad", "one", "two"):
        try:
            empty.append(engine.run([image]) is None)
        except ValueError:
            empty.append(False)
    return seen, empty


plain, kept = handled(keep=False), handled(keep=True)
print(f"pytorch-ignite {ignite.__version__}, torch {torch.__version__}")
print(f"after an exception: handled {plain[0]}, runs that returned nothing {plain[1]}")
print(f"with a handler of EXCEPTION_RAISED: handled {kept[0]}")
same = plain == (["two"], [False, True, False]) and kept[0] == ["one", "two"]
sys.exit(0 if same else 1)
PYTHON
