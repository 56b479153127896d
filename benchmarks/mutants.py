# SPDX-License-Identifier: Apache-2.0
"""How many wrong lines would the tests of the cores let through?

``python benchmarks/mutants.py [--seed 1] [--count 40] [--jobs 1] [--out mutants.json] [--list]``
draws random single-line mutants of the core files, runs the tests of each file on a temporary copy
of the tree that holds one mutant at a time, and prints which were killed. The working tree is never
touched. Exit code 1 if the tests fail without any mutant.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from fnmatch import fnmatch
from itertools import repeat
from pathlib import Path

from mutate import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[1]
CORE = {  # product files -> folders or files of their tests
    "monai_cxr_cf/diffusion/laws/*.py": ("tests/diffusion",),
    "monai_cxr_cf/diffusion/attention/*.py": ("tests/diffusion",),
    "monai_cxr_cf/diffusion/correction/*.py": ("tests/diffusion",),
    "monai_cxr_cf/diffusion/steps.py": ("tests/diffusion",),
    "monai_cxr_cf/diffusion/keep.py": ("tests/diffusion",),
    "monai_cxr_cf/composite.py": ("tests/test_composite.py", "tests/test_pipeline.py"),
    "monai_cxr_cf/dicom/reading/*.py": ("tests/dicom",),
    "monai_cxr_cf/dicom/writing/seg.py": ("tests/dicom",),
    "monai_cxr_cf/anatomy/zones.py": ("tests/anatomy",),
    "monai_cxr_cf/prompts/*.py": ("tests/prompts",),
}
PYTEST = ("-q", "-x", "-p", "no:cacheprovider", "--timeout", "120")


def drawn(args: argparse.Namespace) -> dict[Mutant, list[str]]:
    """``count`` mutants on lines of their own, each with its tests; the seed decides which."""
    places: dict[str, tuple[str, ...]] = {}
    for pattern, tests in CORE.items():
        names = [p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob(pattern))]
        places |= {name: tests for name in names if fnmatch(name, args.only)}
    lines: dict[tuple[str, int], list[Mutant]] = {}
    for name in places:
        for mutant in mutants_of(ROOT / name, name):
            lines.setdefault((name, mutant.line), []).append(mutant)
    chance = random.Random(args.seed)
    chosen = sorted(chance.sample(sorted(lines), min(args.count, len(lines))))
    mutants = [chance.choice(lines[at]) for at in chosen]
    return {m: tests_for(m.file, args.tests or places[m.file]) for m in mutants}


def tests_for(file: str, places: tuple[str, ...]) -> list[str]:
    """Test files, likeliest first: of the module's own name, those that import it, the rest."""
    module = file.removesuffix(".py").replace("/", ".")
    paths = [ROOT / place for place in places]
    files = [f for p in paths for f in (sorted(p.rglob("test_*.py")) if p.is_dir() else [p])]
    own = f"test_{module.rpartition('.')[2]}"
    files.sort(key=lambda f: (not f.stem.startswith(own), module not in f.read_text("utf-8")))
    return [f.relative_to(ROOT).as_posix() for f in files]


def copy_tree(place: str) -> Path:
    """The working tree without what is built, and the reference data beside it."""
    left = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "out", "venv")
    tree = shutil.copytree(ROOT, Path(place) / "tree", ignore=left, symlinks=True)
    if (ROOT.parent / "shared").is_dir():
        (tree.parent / "shared").symlink_to(ROOT.parent / "shared")
    return tree


def run_tests(tree: Path, tests: list[str]) -> tuple[int, str]:
    """Exit code of pytest in ``tree``, and its first failure."""
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "pytest", *PYTEST, *tests]
    env = os.environ | own
    done = subprocess.run(words, cwd=tree, env=env, check=False, capture_output=True, text=True)
    failed = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return done.returncode, failed[1] if failed else (done.stdout + done.stderr)[-200:]


def verdicts(share: list[Mutant], tests: dict[Mutant, list[str]]) -> list[Mutant]:
    """One mutant after the other in a copy of its own."""
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(folder)
        for mutant in share:
            path = tree / mutant.file
            kept = path.read_text(encoding="utf-8")
            lines = kept.split("\n")
            lines[mutant.line - 1] = mutant.after
            path.write_text("\n".join(lines), encoding="utf-8")
            code, by = run_tests(tree, tests[mutant])
            path.write_text(kept, encoding="utf-8")
            judged.append(replace(mutant, killed=code != 0, by=by if code else ""))
            sys.stdout.write(str(judged[-1]))
            sys.stdout.flush()
    return judged


def main() -> int:
    """Draw, run, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time, each in its copy")
    parser.add_argument("--out", type=Path, help="write the verdicts here as JSON")
    parser.add_argument("--only", default="*", help="files of the cores that match this pattern")
    parser.add_argument("--list", action="store_true", help="draw only")
    parser.add_argument("--tests", nargs="+", help="run these files or folders instead")
    args = parser.parse_args()
    tests = drawn(args)
    if args.list:
        sys.stdout.writelines(map(str, tests))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        code, by = run_tests(copy_tree(folder), sorted({t for ts in tests.values() for t in ts}))
    if code:
        sys.stderr.write(f"The tests fail without a mutant: {by}\n")
        return 1
    shares = [list(tests)[job :: args.jobs] for job in range(args.jobs)]
    with ThreadPoolExecutor(args.jobs) as pool:
        judged = [m for share in pool.map(verdicts, shares, repeat(tests)) for m in share]
    killed = sum(bool(m.killed) for m in judged)
    sys.stdout.write(f"{killed} killed, {len(judged) - killed} survived\n")
    if args.out:
        table = {"seed": args.seed, "mutants": [asdict(m) for m in judged]}
        args.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
