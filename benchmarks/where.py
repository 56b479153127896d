# SPDX-License-Identifier: Apache-2.0
"""Where a cold edit spends its time: its stacks, looked at every few milliseconds.

    python -m benchmarks.where OLD NEW --svg flame

Each checkout edits the example once in a process of its own. Printed are the shares of its stages
and of what they import; ``flame-1.svg`` and ``flame-2.svg`` show every stack, seconds as width.
A look takes no lock of the libraries, so what it counts is wall time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from html import escape
from pathlib import Path

from benchmarks.against import EDIT, surroundings

WATCHED = """
import collections, json, sys, threading, time
seen, main, stop = collections.Counter(), threading.main_thread().ident, threading.Event()

def look():
    last = time.perf_counter()
    while not stop.wait(0.004):
        frame, names = sys._current_frames().get(main), []
        while frame is not None:
            code = frame.f_code
            names.append((code.co_filename, code.co_name))
            frame = frame.f_back
        now = time.perf_counter()
        seen[tuple(reversed(names))] += now - last
        last = now

watcher = threading.Thread(target=look, daemon=True)
watcher.start()
from monai_cxr_cf import cli
code = cli.main(sys.argv[2:])
stop.set()
watcher.join()
with open(sys.argv[1], "w") as file:
    json.dump([[list(stack), seconds] for stack, seconds in seen.items()], file)
sys.exit(code)
"""
STAGES = {
    "read_source": "read", "segment": "organs", "locate": "region, backbone", "sample": "sample",
    "render": "decode", "draw": "pictures", "write_records": "records", "prepare": "judge",
}  # fmt: skip
Stacks = Counter[tuple[str, ...]]


def stacks_of(checkout: Path) -> Stacks:
    """Seconds of wall time by stack, as short names from the outside in."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "stacks.json"
        words = [*EDIT, "--progress", "none", "--out", str(Path(folder) / "out")]
        command = [sys.executable, "-c", WATCHED, str(told), *words]
        subprocess.run(
            command, cwd=checkout, env=surroundings(checkout), check=True, stdout=subprocess.DEVNULL
        )
        found: Stacks = Counter()
        for stack, seconds in json.loads(told.read_text(encoding="utf-8")):
            found[folded(stack)] += seconds
    return found


def folded(stack: list[list[str]]) -> tuple[str, ...]:
    """A stack in words: a stage of ours, then ``import X`` or the functions of libraries."""
    found: list[str] = []
    for file, name in stack:
        if file.startswith("<frozen importlib"):
            continue
        parts = Path(file).parts
        package = parts[parts.index("site-packages") + 1] if "site-packages" in parts else ""
        if name == "<module>" and package:
            word = f"import {package.removesuffix('.py')}"
        elif "monai_cxr_cf" in parts:
            word = STAGES.get(name, "" if name == "<module>" else name)
        else:
            word = f"{package}.{name}" if package else ""
        if word and (not found or found[-1] != word):
            found.append(word)
    return tuple(found)


def shares(stacks: Stacks) -> dict[str, float]:
    """Seconds by stage; what is imported in any of them counts as import, by package."""
    found: Counter[str] = Counter()
    for stack, seconds in stacks.items():
        imported = [word for word in stack if word.startswith("import ")]
        stage = next((word for word in reversed(stack) if word in STAGES.values()), "other")
        found[imported[0] if imported else stage] += seconds
    return dict(found.most_common())


def svg(stacks: Stacks, *, width: int = 1200, row: int = 17) -> str:
    """A flame graph: every box a function, its width its seconds, the outermost on top."""
    total = sum(stacks.values())
    boxes: list[str] = []
    depth = _boxes(sorted(stacks.items()), 0, 0.0, width / total, row, boxes)
    size = f'width="{width}" height="{(depth + 1) * row}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    )
    return "\n".join([head, *boxes, "</svg>\n"])


def _boxes(
    items: list[tuple[tuple[str, ...], float]], level: int, left: float, scale: float, row: int,
    boxes: list[str],
) -> int:  # fmt: skip
    groups: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for stack, seconds in items:
        if len(stack) > level:
            groups.setdefault(stack[level], []).append((stack, seconds))
    deepest = level
    for name, group in groups.items():
        seconds = sum(one for _, one in group)
        wide = seconds * scale
        if wide >= 1:
            colour = "#9ecae1" if name.startswith("import ") else "#fdd0a2"
            text = escape(name[: int(wide / 6.2)]) if wide > 20 else ""
            boxes.append(
                f'<g><title>{escape(name)}: {seconds:.2f} s</title><rect x="{left:.1f}" '
                f'y="{level * row}" width="{wide:.1f}" height="{row - 1}" fill="{colour}"/>'
                f'<text x="{left + 3:.1f}" y="{level * row + 12}">{text}</text></g>'
            )
            deepest = max(deepest, _boxes(group, level + 1, left, scale, row, boxes))
        left += wide
    return deepest


def main() -> None:
    """Print the shares, write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkouts", nargs="+", type=Path, help="folders with the package")
    parser.add_argument("--svg", metavar="NAME", help="write NAME-1.svg, NAME-2.svg, ...")
    args = parser.parse_args()
    for number, checkout in enumerate(args.checkouts, 1):
        stacks = stacks_of(checkout.resolve())
        total = sum(stacks.values())
        sys.stdout.write(f"{number}: {total:.1f} s\n")
        for name, seconds in shares(stacks).items():
            if seconds > 0.01 * total:
                bar = "#" * round(50 * seconds / total)
                sys.stdout.write(f"  {seconds:6.2f} s {seconds / total:4.0%}  {name:<24} {bar}\n")
        if args.svg:
            Path(f"{args.svg}-{number}.svg").write_text(svg(stacks), encoding="utf-8")


if __name__ == "__main__":
    main()
