# SPDX-License-Identifier: Apache-2.0
"""Examples for the page, chosen by rule: the edit that moved its score most, the median, the least.

The pictures are the previews that every edit wrote (source, region, counterfactual, change), made
smaller; they carry their SYNTHETIC notice.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from monai_cxr_cf.audit.figures.facts import Facts, Record, gains
from monai_cxr_cf.audit.trials import Found

WIDTH, QUALITY, MOST = 1100, 78, 24
PLACES = ("most", "median", "least")


@dataclass(frozen=True)
class Example:
    """A picture with its words; ``data`` is base64 of a JPEG."""

    name: str
    caption: str
    data: str


def examples(facts: Facts, found: Found) -> list[Example]:
    """Up to three of each edit, at most 24."""
    pairs = dict(zip(map(id, facts.trials), found.pairs, strict=False))
    chosen: list[Example] = []
    for name, trials in facts.names().items():
        label = facts.scored(trials[0]["finding"])[0]
        for why, trial in _ranked(trials, label):
            pair = pairs.get(id(trial))
            picture = None if pair is None else pair.edit / "preview.png"
            if picture is None or not picture.is_file() or len(chosen) == MOST:
                continue
            score = f"'{facts.labels[label]}' {trial['source'][label]:.2f} to "
            score += f"{trial['edited'][-1][label]:.2f}, sham {trial['sham'][-1][label]:.2f}"
            with Image.open(picture) as opened:
                chosen.append(Example(name, f"{name}, moved {why}: {score}", _small(opened)))
    return chosen


def _ranked(trials: Sequence[Record], label: int) -> list[tuple[str, Record]]:
    size = abs(gains(trials, label))
    order = sorted(range(len(trials)), key=lambda n: (-size[n], trials[n]["id"]))
    places = dict.fromkeys((order[0], order[len(order) // 2], order[-1]))
    return list(zip(PLACES, (trials[n] for n in places), strict=False))


def _small(picture: Image.Image) -> str:
    height = round(picture.height * WIDTH / picture.width)
    stream = io.BytesIO()
    small = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    small.save(stream, "JPEG", quality=QUALITY)
    return base64.b64encode(stream.getvalue()).decode()
