# SPDX-License-Identifier: Apache-2.0
"""Radiographs and organ maps in; pairs (without and with a finding) to learn edits from, out.

Into every clear radiograph a *plan* of findings is put: the same finding on both sides, in several
zones and degrees, so that two pairs of one radiograph differ by the very words that place them. A
finding is transplanted from a real radiograph, invented, or (the heart) warped. Real radiographs
with a finding that can be located give pairs the other way round, with the finding taken away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.training.augment import augment
from monai_cxr_cf.training.drawn_pairs.drawing import (
    LUNG,
    SEVERITIES,
    TOLD,
    ZONE_ROWS,
    Drawing,
    Image,
)
from monai_cxr_cf.training.drawn_pairs.grounding import heart_ratio
from monai_cxr_cf.training.drawn_pairs.lungframe import Chest
from monai_cxr_cf.training.drawn_pairs.render import draw_in
from monai_cxr_cf.training.drawn_pairs.transplant import (
    Healthy,
    Opacity,
    heal,
    is_clear,
    look,
    opacities,
    transplant,
    treatable,
    visible,
)
from monai_cxr_cf.training.drawn_pairs.warping import (
    border_seen,
    degree,
    enlarge_heart,
    limit,
    shrink_heart,
)

log = logging.getLogger(__name__)
Squares = dict[str, NDArray[np.uint8]]
NORMAL_LABELS = ({"normal"}, {"No Finding"})
_GIVES = {
    "Effusion": "effusion",
    "Consolidation": "consolidation",
    "Pneumonia": "consolidation",
    "Infiltration": "consolidation",
    "tuberculosis": "consolidation",
    "COVID-19": "consolidation",
    "Edema": "edema",
}
_TRANSPLANTED = {"effusion": 0.35, "consolidation": 0.5, "edema": 0.25}  # the rest is invented
_RARE = {"pneumothorax": 0.4, "atelectasis": 0.3, "nodule": 0.18, "mass": 0.12}
_ONE_MORE = 0.75  # of the radiographs whose plan has no rare finding yet are offered one
_SEEN = {"mild": 0.05, "moderate": 0.1, "severe": 0.16}  # of the lung, clearly changed
_SPREAD = {"COVID-19", "Edema"}  # disease of both lungs: one patch less leaves no normal
_PRESENT = 0.003  # of the image: the least heart that can be warped


@dataclass(frozen=True)
class Pair:
    """Two pictures of one patient that differ by what ``drawings`` says."""

    id: str  # of the row
    plain: Image
    drawn: Image
    weight: Image  # 0..1, where they differ
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class Library:
    """What the radiographs offer: clear chests, opacities by (finding, zone), healthy levels."""

    healthy: Healthy
    clear: tuple[str, ...]  # ids of radiographs that can receive
    opacities: dict[tuple[str, str], list[Opacity]]
    treatable: frozenset[str]  # ids of radiographs with an opacity that can be taken away

    @staticmethod
    def of(rows: list[Row], squares: Squares, maps: Squares, seed: int = 5) -> Library:
        """Look through all rows that have an organ map."""
        usable = [row for row in rows if row.id in maps and _mapped(maps[row.id])]
        normals = [row for row in usable if set(row.labels) in NORMAL_LABELS]
        rng = np.random.default_rng([seed, 3])
        some = rng.permutation(len(normals))[:160]
        healthy = Healthy.of([chest_of(normals[i].id, squares, maps) for i in some])
        fit = [
            row
            for row in normals
            if heart_ratio(maps[row.id]) < limit(row.view) + 0.01
            and is_clear(chest_of(row.id, squares, maps), healthy)
        ]
        clear = tuple(row.id for row in balanced(fit, rng))
        log.info("%d of %d normal radiographs can receive a finding", len(clear), len(normals))
        found: dict[tuple[str, str], list[Opacity]] = {}
        ill = set()
        for row in (r for r in usable if named(r)):
            shares = look(chest_of(row.id, squares, maps), healthy)
            for opacity in opacities(shares, named(row)):
                found.setdefault((opacity.what.finding, opacity.what.zone), []).append(opacity)
            if treatable(shares, named(row)) and not _SPREAD & set(row.labels):
                ill.add(row.id)
        log.info("opacities: %s", {" ".join(key): len(given) for key, given in found.items()})
        return Library(healthy, clear, found, frozenset(ill))

    def pick(self, wanted: Drawing, rng: np.random.Generator) -> Opacity | None:
        """A real opacity of the wanted zone and degree, put on the wanted side."""
        fitting = [
            opacity
            for opacity in self.opacities.get((wanted.finding, wanted.zone), [])
            if opacity.what.severity == wanted.severity
        ]
        if not fitting or rng.random() > len(fitting) / 6:  # no shape shall be seen too often
            return None
        return replace(fitting[int(rng.integers(len(fitting)))], what=wanted)


def chest_of(name: str, squares: Squares, maps: Squares) -> Chest:
    """The chest of a row as it is in the data."""
    return Chest(np.asarray(squares[name] / np.float32(255), np.float32), maps[name])


def named(row: Row) -> set[str]:
    """Findings a row's labels or reading speak of that opacities can be taken for."""
    findings = {_GIVES[label] for label in row.labels if label in _GIVES}
    words = row.text.lower()
    if row.source in ("shenzhen", "montgomery") and ("effusion" in words or "pleuri" in words):
        findings.add("effusion")
    return findings


def balanced(rows: list[Row], rng: np.random.Generator) -> list[Row]:
    """The rows in their order, with no more of a told style than of all others together."""
    told = [row.id for row in rows if row.source in TOLD]
    others = len(rows) - len(told)
    kept = {told[i] for i in rng.permutation(len(told))[: others or len(told)]}
    return [row for row in rows if row.source not in TOLD or row.id in kept]


def _mapped(labels: NDArray[np.uint8]) -> bool:
    lungs = min(float((labels == side).mean()) for side in LUNG.values())
    return lungs > 0.025 and float((labels == 3).mean()) > _PRESENT


def plan(count: int, rng: np.random.Generator) -> list[Drawing]:
    """``count`` findings for one radiograph; same findings in other places stand side by side."""

    def severity() -> str:
        return str(rng.choice(SEVERITIES, p=[0.3, 0.38, 0.32]))

    sides = ["right", "left"] if rng.random() < 0.5 else ["left", "right"]
    fluids = [Drawing("effusion", side, "", severity()) for side in sides]
    if rng.random() < 0.5:
        both = "bilateral" if rng.random() < 0.3 else sides[0]
        fluids.append(Drawing("effusion", both, "", severity()))
    places = [(side, zone) for side in sides for zone in ZONE_ROWS]
    chosen = rng.permutation(len(places))[: int(rng.integers(2, 4))]
    solids = [Drawing("consolidation", places[i][0], places[i][1], severity()) for i in chosen]
    if rng.random() < 0.4 and solids[-1].zone != "lower":
        solids[-1] = replace(solids[-1], zone="lower", side=str(rng.choice(sides)))
    hearts = [Drawing("cardiomegaly", "", "", severity()) for _ in range(rng.integers(1, 3))]
    others = [Drawing("edema", "bilateral", "", severity())] if rng.random() < 0.8 else []
    while len(fluids) + len(solids) + len(hearts) + len(others) < count:
        others.append(_rare(rng, severity()))
    if not {drawing.finding for drawing in others} & set(_RARE) and rng.random() < _ONE_MORE:
        others.append(_rare(rng, severity()))
    wishes = [*fluids, *solids, *hearts, *others]
    return [wishes[i] for i in sorted(rng.permutation(len(wishes))[:count])]


def _rare(rng: np.random.Generator, severity: str) -> Drawing:
    finding = str(rng.choice(list(_RARE), p=list(_RARE.values())))
    side = str(rng.choice(["right", "left"]))
    zone = "" if finding == "pneumothorax" else str(rng.choice(list(ZONE_ROWS)))
    return Drawing(finding, side, "lower" if finding == "atelectasis" else zone, severity)


def place(
    chest: Chest, wanted: Drawing, library: Library, *, view: str, rng: np.random.Generator
) -> tuple[Image, Image, Drawing]:
    """The chest's image with a finding, the weight of where, and what it came out as."""
    if wanted.finding == "cardiomegaly":
        image, weight, ratio = enlarge_heart(
            chest.image, chest.labels, wanted.severity, view=view, rng=rng
        )
        return image, weight, replace(wanted, severity=degree(ratio, view) or "mild")
    one_map = wanted.side != "bilateral" or wanted.finding == "edema"
    if one_map and rng.random() < _TRANSPLANTED.get(wanted.finding, 0):
        for _ in range(3):
            opacity = library.pick(wanted, rng)
            if opacity is None:
                break
            image, weight = transplant(chest, opacity, rng=rng)
            side = "right" if wanted.side == "bilateral" else wanted.side
            if visible(chest, image, side) > _SEEN[wanted.severity]:
                return image, weight, wanted
    return *draw_in(chest, wanted, rng=rng), wanted


def put_in(
    row: Row, squares: Squares, maps: Squares, *, library: Library, draws: int,
    rng: np.random.Generator,
) -> Iterator[Pair]:  # fmt: skip
    """``draws`` pairs of one augmented copy of a clear radiograph; now and then two findings."""
    image, labels = augment(squares[row.id], maps[row.id], rng)
    if labels is None or not _mapped(labels):
        return
    chest = Chest(image, labels)
    wishes = plan(draws, rng)
    for number, wanted in enumerate(wishes):
        drawn, weight, drawing = place(chest, wanted, library, view=row.view, rng=rng)
        drawings: tuple[Drawing, ...] = (drawing,)
        other = wishes[(number + draws // 2) % draws]
        if rng.random() < 0.14 and _together(drawing, other):
            drawn, more = draw_in(chest, other, rng=rng, image=drawn)
            weight, drawings = np.maximum(weight, more), (drawing, other)
        yield Pair(row.id, image, drawn, weight, drawings)


def _together(first: Drawing, second: Drawing) -> bool:
    """Whether a second finding may stand beside a first one without covering it."""
    if second.finding in (first.finding, "cardiomegaly", "pneumothorax", "edema"):
        return False
    return "bilateral" not in (first.side, second.side) and first.side != second.side


def take_out(
    row: Row, squares: Squares, maps: Squares, *, library: Library, rng: np.random.Generator
) -> Iterator[Pair]:
    """Pairs of a real radiograph: as it is, and with its large heart or its opacity taken away."""
    image, labels = augment(squares[row.id], maps[row.id], rng)
    if labels is None or not _mapped(labels):
        return
    chest, ratio = Chest(image, labels), heart_ratio(labels)
    said = "Cardiomegaly" in row.labels
    wide = bool(degree(ratio, row.view)) and not named(row)
    if (wide or (said and ratio > limit(row.view) - 0.05)) and border_seen(image, labels):
        plain, weight, _ = shrink_heart(image, labels, view=row.view, rng=rng)
        what = Drawing("cardiomegaly", "", "", degree(ratio, row.view) or "mild")
        yield Pair(row.id, plain, image, weight, (what,))
    if row.id not in library.treatable:
        return
    for opacity in treatable(look(chest, library.healthy), named(row)):
        donor = library.clear[int(rng.integers(len(library.clear)))]
        plain, weight = heal(chest, opacity, donor=chest_of(donor, squares, maps), rng=rng)
        yield Pair(row.id, plain, image, weight, (opacity.what,))
