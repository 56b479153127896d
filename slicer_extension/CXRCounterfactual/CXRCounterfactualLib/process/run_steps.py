# SPDX-License-Identifier: Apache-2.0
"""Commands one after another: ``run_steps.py JSON``, a list of [stage, [word, ...]].

Tells each step on standard output as the runner does (docs/usage.md 5), and what the commands
print on standard error. The first that fails ends it. Never imported.
"""

import json
import subprocess
import sys

MISSING = 3
HINTS = {
    "check": "Install Python 3.11, 3.12 or 3.13 with venv, or name one in the settings.",
    "create": "On Debian and Ubuntu: apt install python3-venv. With uv: is the machine online? "
    "Is the disk full?",
    "install": "Is the machine online, and has the disk 6 GB of room? See the details.",
    "doctor": "The details name what is missing.",
}


def tell(event: str, **facts: object) -> None:
    """One event."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def run(steps: list[tuple[str, list[str]]]) -> int:
    """0 when all steps are done; the first failure as an error event and 3."""
    tell("hello", protocol=1, version="", device="", lock_sha256=None)
    for number, (stage, words) in enumerate(steps):
        tell("progress", stage=stage, step=number, total=len(steps), eta_s=None)
        try:
            code = subprocess.call(words, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        except OSError as error:
            sys.stderr.write(f"{error}\n")
            code = None
        if code != 0:
            message = f"Making the environment failed at step {number + 1} of {len(steps)}."
            tell("error", code=f"environment_{stage}", message=message, hint=HINTS[stage])
            return MISSING
        tell("progress", stage=stage, step=number + 1, total=len(steps), eta_s=None)
    return 0


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.argv[1])))
