# SPDX-License-Identifier: Apache-2.0
"""A folder of weights in, the licence it states out; shown by ``info`` and written to reports."""

from pathlib import Path

CARDS = ("MODEL_CARD.md", "README.md")


def stated_licence(folder: Path) -> str:
    """``license:`` of the model card, else the title line of a LICENSE file, else "unknown"."""
    for name in CARDS:
        if (folder / name).is_file():
            for line in (folder / name).read_text(encoding="utf-8").splitlines()[:60]:
                key, _, value = line.strip("-*# ").partition(":")
                if key.strip("* ").lower() in ("license", "licence") and value.strip("* "):
                    return value.strip("* ")
    for path in sorted(folder.glob("LICENSE*")):
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        return next((line for line in lines if line), "unknown")
    return "unknown"
