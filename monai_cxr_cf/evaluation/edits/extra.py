# SPDX-License-Identifier: Apache-2.0
"""What a table of methods says beside validity: Conf, CLIP-I, LPIPS, SSIM, PSNR, vectors.

Each of the composite and of the decoder's own picture (``raw``), since a composite flatters every
method alike. Vectors are kept in the row, for distances between sets.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.evaluation.generator.frechet import cosine
from monai_cxr_cf.measures.perceptual import masked_mean, ssim_map
from monai_cxr_cf.runs.run import Picture, Run

if TYPE_CHECKING:
    from monai_cxr_cf.evaluation.generator.likeness import Likeness
    from monai_cxr_cf.judges.classifier import Judge
    from monai_cxr_cf.measures.perceptual import Lpips

Array = NDArray[np.float32]
Row = dict[str, Any]
GREY = 255.0


class Conf(Protocol):
    """A network that says how likely one finding is."""

    @property
    def name(self) -> str:
        """What a table calls it."""

    @property
    def sha256(self) -> str:
        """Of its weights."""

    @property
    def auc(self) -> float | None:
        """On real held-out radiographs; None where nobody measured it."""

    def predict(self, images: Sequence[Array]) -> Array:
        """(N,) in 0..1 of H x W images in 0..1, bright = dense."""


@dataclass(frozen=True, eq=False)
class Extra:
    """The networks of these columns.

    Attributes:
        likeness: of CLIP-I.
        features: of distances between sets, and of identity.
        conf: finding -> network.
    """

    likeness: Likeness
    features: Likeness
    conf: Mapping[str, Conf] = field(default_factory=dict)

    def about(self) -> dict[str, dict[str, Any]]:
        """Name, digest and, of Conf, AUC of every network, by what it is for."""
        told: dict[str, dict[str, Any]] = {
            "CLIP-I": {"name": self.likeness.name, "sha256": self.likeness.sha256},
            "sets and identity": {"name": self.features.name, "sha256": self.features.sha256},
        }
        for finding, net in self.conf.items():
            about = {"name": net.name, "sha256": net.sha256, "auc": net.auc}
            told[f"Conf, {finding}"] = about
        return told


@dataclass(frozen=True, eq=False)
class JudgeConf:
    """One finding of a judge as a network of Conf."""

    judge: Judge
    finding: str

    @property
    def name(self) -> str:
        """Of the judge."""
        return self.judge.name

    @property
    def sha256(self) -> str:
        """Of its weights."""
        return self.judge.sha256

    @property
    def auc(self) -> float | None:
        """On the held-out radiographs that its card names."""
        found = self.judge.auc.get(self.finding, {}).get("auc")
        return None if found is None else float(found)

    def predict(self, images: Sequence[Array]) -> Array:
        """The finding's probability in each image."""
        at = list(self.judge.findings).index(self.finding)
        return np.asarray(self.judge.predict(images)[:, at], np.float32)


def extra_of(
    run: Run, pictures: Sequence[Picture], extra: Extra, lpips: Lpips | None, finding: str
) -> list[Row]:
    """One mapping a picture: figures of the composite, and those of the decoder's own picture."""
    source = run.radiograph.pixels
    shown = {"": [_image(source, p.change) for p in pictures]}
    shown["_raw"] = [_image(source, p.change if p.raw is None else p.raw) for p in pictures]
    found: list[Row] = [{} for _ in pictures]
    for end, images in shown.items():
        for row, image in zip(found, images, strict=True):
            row |= {k + end: v for k, v in _alike(run, image, lpips).items()}
        for name, network in (("clip_i", extra.likeness), ("vector", extra.features)):
            vectors = network.vectors([source, *images])
            own = np.repeat(vectors[:1], len(images), 0)
            near = cosine(own, vectors[1:])
            for number, row in enumerate(found):
                if name == "clip_i":
                    row[f"clip_i{end}"] = round(float(near[number]), 5)
                else:
                    row[f"vector{end}"] = pack(vectors[1 + number])
                    row["vector_source"] = pack(vectors[0])
        if finding in extra.conf:
            told = extra.conf[finding].predict([source, *images])
            for row, p in zip(found, told[1:], strict=True):
                row |= {f"conf{end}": round(float(p), 4), "conf_before": round(float(told[0]), 4)}
    return found


def _image(source: Array, change: Array) -> Array:
    return np.asarray(np.clip(source + change, 0, 1), np.float32)


def _alike(run: Run, image: Array, lpips: Lpips | None) -> Row:
    """Likeness of a picture and its source: whole, inside the region, in the band, outside."""
    source, inside, band = run.radiograph.pixels, run.case.region, run.case.band
    places = {"": None, "_inside": inside, "_band": band, "_outside": ~(inside | band)}
    squares = (image - source) ** 2
    similar = ssim_map(image, source)
    found: Row = {"l1": round(float(np.abs(image - source).mean()) * GREY, 4)}
    for where, mask in places.items():
        error = masked_mean(squares, mask)
        found[f"ssim{where}"] = round(masked_mean(similar, mask), 5)
        found[f"psnr{where}"] = round(float(10 * np.log10(1 / max(error, 1e-12))), 3)
    found["lpips"] = None if lpips is None else round(lpips.distance(image, source), 5)
    return found


def pack(vector: Array) -> str:
    """A vector in half precision, as text."""
    return base64.b64encode(np.asarray(vector, np.float16).tobytes()).decode()


def unpack(texts: Sequence[str]) -> Array:
    """Vectors from text, (N, D)."""
    return np.stack([np.frombuffer(base64.b64decode(t), np.float16) for t in texts]).astype(
        np.float32
    )
