# SPDX-License-Identifier: Apache-2.0
"""The example radiograph in, the figure of the README out: four panels, made by the product.

    python benchmarks/figure.py        writes docs/figure.jpg

The figure is the ``preview.png`` of exactly the command that the README shows.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PROMPT = "left pleural effusion"


def main() -> None:
    """Run the README's command and keep its preview, scaled to the width of a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "docs" / "example.dcm")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figure.jpg")
    parser.add_argument("--width", type=int, default=1200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        words = [sys.executable, "-m", "monai_cxr_cf.cli", "edit", str(chosen.source)]
        subprocess.run([*words, "--prompt", chosen.prompt, "--out", str(out)], cwd=ROOT, check=True)
        picture = Image.open(out / "preview.png").convert("RGB")
    height = round(picture.height * chosen.width / picture.width)
    small = picture.resize((chosen.width, height), Image.Resampling.LANCZOS)
    small.save(chosen.out, optimize=True, quality=80)


if __name__ == "__main__":
    main()
