# SPDX-License-Identifier: Apache-2.0
"""First thing a child process runs: ``PYTHON spawn.py FILE (-m MODULE | SCRIPT) [words ...]``.

It makes the process the leader of a group of its own and writes the group's number to FILE, so
that the whole tree can be ended at once; then it becomes the module or script. A file and not the
process id that Qt knows, for Slicer's own Python may stand behind a launcher. Never imported.
"""

import importlib.util
import os
import runpy
import sys

MISSING = 3  # exit code of the runner for "something is missing"


def lead(file: str) -> None:
    """Start a group (on Windows there is none), and tell its number."""
    if hasattr(os, "setsid"):
        os.setsid()
        with open(file + ".new", "w", encoding="ascii") as stream:
            stream.write(str(os.getpid()))
        os.replace(file + ".new", file)  # never read when half written


def become(words: list[str]) -> int:
    """Run the module or script as if Python had been started with it."""
    del sys.path[0]  # this folder: its names must not shadow those of the product
    if words[0] != "-m":
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
        return 0
    module = words[1]
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        sys.stderr.write(f"The Python package '{module.partition('.')[0]}' is missing.\n")
        return MISSING
    sys.argv = words[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    lead(sys.argv[1])
    sys.exit(become(sys.argv[2:]))
