# SPDX-License-Identifier: Apache-2.0
"""A backbone in, what it draws from text alone out: a labelled sheet, and its Frechet distance.

The sheet is for eyes: 8 captions in rows, 8 seeds in columns. The distance compares generated with
real radiographs at equal N, beside two halves of the real ones (one of them through the
autoencoder, too), and PA beside AP for scale.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.task import Progress
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.generator.frechet import Features, fit_basis, frechet, halves, spread
from monai_cxr_cf.evaluation.generator.generate import BATCH, Plain, generate
from monai_cxr_cf.evaluation.rows import key_of, weights_of

Planes = NDArray[np.float32]
CAPTIONS = (
    "normal heart size, clear lungs, PA view",
    "no acute cardiopulmonary process, portable AP view",
    "large left pleural effusion, PA view",
    "large right pleural effusion, PA view",
    "severe cardiomegaly, PA view",
    "severe right upper lobe consolidation, PA view",
    "left lower lobe consolidation, AP view",
    "severe pulmonary edema, AP view",
)
SEEDS = tuple(range(8))
FIRST_SEED = 1000  # of the images that are compared with real ones
LABEL = 22  # pixels of the line of text over each row of the sheet


@dataclass(frozen=True)
class Pictures:
    """Generated images kept as PNG files, so that a second start makes only what is missing.

    Attributes:
        folder: of the files; a file's name depends on backbone, settings, caption and seed.
        progress: called with {"stage", "step", "total"} after every batch; may raise.
    """

    backbone: Backbone
    plain: Plain
    folder: Path
    progress: Progress

    def __call__(self, captions: Sequence[str], seeds: Sequence[int], *, stage: str) -> Planes:
        """(N, S, S) float32 0..1, one image per caption and seed, in eight bits."""
        paths = [self._path(c, s) for c, s in zip(captions, seeds, strict=True)]
        missing = [i for i, path in enumerate(paths) if not path.is_file()]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tell(stage, len(paths) - len(missing), len(paths))
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            made = generate(
                self.backbone,
                [captions[i] for i in part],
                self.plain,
                seeds=[seeds[i] for i in part],
            )
            for i, image in zip(part, made, strict=True):
                half_made = paths[i].with_suffix(".part")
                Image.fromarray(_eight_bits(image)).save(half_made, format="PNG")
                half_made.replace(paths[i])
            self._tell(stage, len(paths) - len(missing) + start + len(part), len(paths))
        return np.stack([np.asarray(Image.open(path), np.float32) / 255 for path in paths])

    def _tell(self, stage: str, step: int, total: int) -> None:
        self.progress({"stage": stage, "step": step, "total": total})

    def _path(self, caption: str, seed: int) -> Path:
        about = {"caption": caption, "seed": seed, **self.plain.as_dict()}
        return self.folder / f"{key_of({**about, 'weights': weights_of(self.backbone)})}.png"


def sample_sheet(pictures: Pictures, path: Path) -> Planes:
    """Write the labelled 64-image sheet; returns the images (64, S, S), captions first."""
    captions = [caption for caption in CAPTIONS for _ in SEEDS]
    images = pictures(captions, SEEDS * len(CAPTIONS), stage="sheet")
    side = images.shape[1]
    page = Image.new("L", (side * len(SEEDS), (side + LABEL) * len(CAPTIONS)), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, caption in enumerate(CAPTIONS):
        top = number * (side + LABEL)
        draw.text((6, top + 2), f"{caption}   (seeds {SEEDS[0]} to {SEEDS[-1]})", 0, font=font)
        for column in range(len(SEEDS)):
            tile = Image.fromarray(_eight_bits(images[number * len(SEEDS) + column]))
            page.paste(tile, (column * side, top + LABEL))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    return images


def captions_of(rows: Sequence[Row], count: int) -> list[str]:
    """Captions like those of real radiographs: labels and view of ``count`` random rows.

    So that generated and real sets hold the same findings and views in the same shares.
    """
    from monai_cxr_cf.training.generator.captions import real_caption

    generator = np.random.default_rng(0)
    order = np.concatenate(
        [generator.permutation(len(rows)) for _ in range(count // len(rows) + 1)]
    )
    return [real_caption(rows[i], (), generator).text for i in order[:count]]


@dataclass(frozen=True, eq=False)
class Real:
    """Real radiographs as features, with what they are compared by."""

    vectors: Features  # (N, 1280)
    decoded: Features  # (N, 1280), the same after one way through the autoencoder
    patients: Sequence[str]
    views: Sequence[str]  # PA or AP...


def equal_count(real: Real, generated: int) -> int:
    """The N of every distance: what half of the real images, either view and the samples allow.

    Raises:
        BadRequest: there are fewer than two images of a kind.
    """
    kinds = {
        "half of the real images": _half(real.patients),
        "real PA images": sum(view.startswith("PA") for view in real.views),
        "real AP images": sum(view.startswith("AP") for view in real.views),
        "generated images": generated,
    }
    name = min(kinds, key=lambda kind: kinds[kind])
    if kinds[name] < 2:
        raise BadRequest(f"There are only {kinds[name]} {name}; a distance needs two or more.")
    return kinds[name]


def distances(
    real: Real, generated: Features, *, dimensions: int = 64, draws: int = 200, seed: int = 0
) -> dict[str, Any]:
    """Frechet distances at equal N over random subsets, each with mean and 95 % range.

    Every draw splits the patients in two: half against half, and the generated against one half.
    One half through the autoencoder against the other says which part of the distance is blur that
    no denoiser could mend.

    Returns:
        ``count`` N; ``generated``, ``real_halves``, ``decoded_half``, ``pa_ap``, ``ratio`` of the
        first two, each as [mean, low, high]; ``explained`` variance of the directions.
    """
    basis, count = fit_basis(real.vectors, dimensions=dimensions), equal_count(real, len(generated))
    points, decoded, ours = (basis(each) for each in (real.vectors, real.decoded, generated))
    by_view = [
        np.array([i for i, view in enumerate(real.views) if view.startswith(wanted)])
        for wanted in ("PA", "AP")
    ]
    generator = np.random.default_rng(seed)
    found: defaultdict[str, list[float]] = defaultdict(list)
    for one, other in halves(real.patients, count=count, draws=draws, seed=seed):
        drawn = generator.permutation(len(ours))[:count]
        pa, ap = (generator.permutation(rows)[:count] for rows in by_view)
        found["generated"].append(frechet(ours[drawn], points[one]))
        found["real_halves"].append(frechet(points[one], points[other]))
        found["decoded_half"].append(frechet(decoded[other], points[one]))
        found["pa_ap"].append(frechet(points[pa], points[ap]))
    ratios = np.array(found["generated"]) / np.array(found["real_halves"])
    result: dict[str, Any] = {name: list(spread(values)) for name, values in found.items()}
    whole = result["generated"][0] / result["real_halves"][0]
    result["ratio"] = [whole, *spread(list(ratios))[1:]]
    return {"count": count, "draws": draws, "explained": basis.explained, **result}


def _half(patients: Sequence[str]) -> int:
    """Images that either half of the patients surely holds: half, less the largest patient."""
    largest = max((list(patients).count(p) for p in set(patients)), default=0)
    return (len(patients) - largest + 1) // 2


def _eight_bits(image: Planes) -> NDArray[np.uint8]:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
