# SPDX-License-Identifier: Apache-2.0
"""The bundle in, a light model-zoo entry out: no weights, but where they lie and their hashes.

``python bundles/light.py ENTRY --url https://HOST/cxr_counterfactual`` copies configurations,
pages, licences and cards, and lists every file of weights in ``large_files.yml``. MONAI then
fetches them: ``python -m monai.bundle download_large_files --bundle_path ENTRY``.
"""

import argparse
import shutil
import sys
from hashlib import file_digest
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent / "cxr_counterfactual"
WEIGHTS = (".pt", ".safetensors")
SCHEMES = ("https://", "http://", "file://")
HEAD = "# SPDX-License-Identifier: Apache-2.0\nlarge_files:\n"


def weights(bundle: Path) -> list[Path]:
    """Every file of weights, in order."""
    return sorted(path for path in bundle.rglob("*") if path.suffix in WEIGHTS)


def listed(bundle: Path, url: str) -> str:
    """``large_files.yml``: path, address, hash and its kind of every file of weights."""
    lines = [HEAD]
    for path in weights(bundle):
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        name = path.relative_to(bundle).as_posix()
        lines.append(f'  - path: "{name}"\n    url: "{url.rstrip("/")}/{name}"\n')
        lines.append(f'    hash_val: "{digest}"\n    hash_type: "sha256"\n')
    return "".join(lines)


def make(entry: Path, url: str) -> int:
    """Write the entry into a new folder; its size in bytes.

    Raises:
        SystemExit: an address of another kind, or a folder that is there already.
    """
    if not url.startswith(SCHEMES):
        sys.exit(
            f"--url starts with none of {', '.join(SCHEMES)}; name where the weights will lie."
        )
    if entry.exists():
        sys.exit("The folder of the entry is there already; name a new one.")
    text = listed(BUNDLE, url)
    shutil.copytree(
        BUNDLE, entry, ignore=shutil.ignore_patterns("*.pt", "*.safetensors", "__pycache__", "eval")
    )
    (entry / "large_files.yml").write_text(text, encoding="utf-8")
    return sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())


def main(words: list[str]) -> int:
    """Make the entry that the words name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("entry", type=Path, help="new folder, such as models/cxr_counterfactual")
    parser.add_argument("--url", required=True, help="where the bundle's files lie")
    args = parser.parse_args(words)
    size = make(args.entry, args.url)
    sys.stdout.write(f"{args.entry}: {size / 1e6:.1f} MB without weights\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
