# SPDX-License-Identifier: Apache-2.0
"""Facts about a radiograph in, a caption with the places of its finding words out.

Facts are exact for drawn findings and come from labels and organ maps for real ones. Wording varies
so that a prompt may be typed in many ways; the spans tell which characters name a finding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from monai_cxr_cf.data.folder import Row
from monai_cxr_cf.prompts.compose import NORMAL as TARGET
from monai_cxr_cf.training.drawn_pairs.drawing import LABEL_FINDINGS, TOLD, Drawing

SEVERITY_WORDS = {
    "mild": ("mild", "small", "minimal", "slight"),
    "moderate": ("moderate", "medium", "moderate"),
    "severe": ("severe", "large", "massive", "extensive"),
}
ZONE_WORDS = {"upper": ("upper",), "mid": ("mid", "middle"), "lower": ("lower", "lower", "basal")}
# {v} severity, {s} side, {z} zone; the finding's own words stand in square brackets.
PHRASES: dict[str, tuple[str, ...]] = {
    "effusion": (
        "{v} {s} [pleural effusion]",
        "{v} {s} [pleural effusion]",
        "{v} {s} [pleural effusion]",
        "{s} [pleural effusion]",
        "{s} [pleural effusion]",
        "{v} {s} [effusion]",
        "{v} [pleural effusion] on the {s}",
        "{v} [pleural effusion] on the {s} side",
        "{s} sided {v} [pleural effusion]",
    ),
    "consolidation": (
        "{v} {s} {z} lobe [consolidation]",
        "{v} {s} {z} lobe [consolidation]",
        "{v} {s} {z} lung [consolidation]",
        "{v} {s} {z} zone [consolidation]",
        "{s} {z} lobe [consolidation]",
        "{s} {z} lobe [consolidation]",
        "{s} {z} lung [consolidation]",
        "{s} {z} zone [consolidation]",
        "{v} [consolidation] in the {s} {z} zone",
        "{v} [consolidation] in the {s} {z} lobe",
        "{s} {z} lobe [pneumonia]",
        "[pneumonia] in the {s} {z} zone",
        "{v} [airspace opacity] in the {s} {z} zone",
        "{v} {s} {z} lung [opacity]",
        "{s} {z} zone [infiltrate]",
        "{v} {s} {z} zone [opacity]",
    ),
    "cardiomegaly": (
        "[cardiomegaly]",
        "{v} [cardiomegaly]",
        "{v} [cardiomegaly]",
        "{v} [cardiomegaly]",
        "[enlarged heart]",
        "{v} [enlarged heart]",
        "[enlarged cardiac silhouette]",
        "[heart enlarged]",
        "{v} [enlargement of the heart]",
    ),
    "edema": (
        "{v} [pulmonary edema]",
        "{v} [pulmonary edema]",
        "[pulmonary edema]",
        "{v} bilateral [pulmonary edema]",
        "bilateral [pulmonary edema]",
        "{v} [edema]",
        "{v} [interstitial edema]",
        "bilateral perihilar [haze], [pulmonary edema]",
        "[pulmonary oedema]",
    ),
    "pneumothorax": (
        "{v} {s} [pneumothorax]",
        "{v} {s} apical [pneumothorax]",
        "{s} [pneumothorax]",
        "{v} [pneumothorax] on the {s}",
        "{s} sided [pneumothorax]",
    ),
    "atelectasis": (
        "{v} {s} {z} lobe [atelectasis]",
        "{s} {z} lobe [atelectasis]",
        "{v} [atelectasis] in the {s} {z} zone",
        "{s} {z} zone linear [atelectasis]",
    ),
    "nodule": (
        "{s} {z} lobe [nodule]",
        "{s} {z} lung [nodule]",
        "[nodule] in the {s} {z} zone",
        "[nodule] in the {s} {z} lobe",
    ),
    "mass": (
        "{s} {z} lobe [mass]",
        "{s} {z} lung [mass]",
        "[mass] in the {s} {z} zone",
        "{s} {z} zone [mass]",
    ),
}
NAMES = {
    "effusion": "pleural effusion",
    "edema": "pulmonary edema",
}
NORMAL = (
    TARGET,
    TARGET,
    TARGET,
    TARGET,
    "normal heart size, clear lungs",
    "clear lungs",
    "lungs are clear",
    "normal chest radiograph",
    "no finding",
    "clear lungs, normal heart size",
)
STYLES = {
    "nih": "hospital radiograph",
    "shenzhen": "screening radiograph",
    "montgomery": "screening film",
    "hannover": "intensive care radiograph",
    "nih_256": "soft radiograph",  # stretched from 256 px, nearly all of them healthy
}


@dataclass(frozen=True)
class Caption:
    """A text and, per finding named in it, the (first, last + 1) characters of its own words."""

    text: str
    spans: tuple[tuple[int, int, int], ...] = ()  # start, end, index of the finding


def finding_phrase(drawing: Drawing, rng: np.random.Generator) -> str:
    """One wording with the finding's own words in square brackets; unknown facts are left out."""
    side = drawing.side
    template = str(rng.choice(PHRASES[drawing.finding]))
    severity = str(rng.choice(SEVERITY_WORDS[drawing.severity])) if drawing.severity else ""
    zone = str(rng.choice(ZONE_WORDS[drawing.zone])) if drawing.zone else ""
    if not zone:
        template = re.sub(r" in the \{s\} \{z\} (zone|lobe)", " on the {s}", template)
        template = re.sub(r"\{z\} (lobe|zone|lung) ", "", template)
    if side == "bilateral":
        template = re.sub(r"on the \{s\}( side)?", "on both sides", template)
        template = template.replace("{s} sided", "{s}")
    if not side:
        template = re.sub(r" (on|in) the \{s\}( \{z\})?( side| zone| lobe)?", "", template)
        template = template.replace("{s} sided ", "")
    text = template.format(v=severity, s=side, z=zone)
    return re.sub(r"\s+", " ", text).strip()


def absence_phrase(findings: tuple[Drawing, ...], rng: np.random.Generator) -> str:
    """Words for an image without findings; names the absent ones in a third of the cases."""
    if not findings or rng.random() < 0.65:
        return str(rng.choice(NORMAL))
    drawing = findings[int(rng.integers(len(findings)))]
    if drawing.finding == "cardiomegaly" and rng.random() < 0.6:
        return str(rng.choice(["normal heart size", "heart size is normal"]))
    side = f"{drawing.side} " if drawing.side and rng.random() < 0.5 else ""
    return f"no {side}{NAMES.get(drawing.finding, drawing.finding)}"


def view_words(row: Row, rng: np.random.Generator) -> str:
    """The projection and sometimes the collection's style."""
    portable = row.view.startswith("AP") and rng.random() < 0.5
    view = f"portable {row.view[:2]} view" if portable else f"{row.view[:2]} view"
    parts = [view] if row.view else []
    if (rng.random() < 0.3 or row.source in TOLD) and row.source in STYLES:
        parts.append(STYLES[row.source])
    return ", ".join(parts)


def compose(parts: list[str]) -> Caption:
    """Comma-joined parts; square brackets become spans."""
    text, spans, finding = "", [], 0
    for part in (p for p in parts if p):
        text += ", " if text else ""
        named = False
        for piece in re.split(r"(\[[^]]*\])", part):
            if piece.startswith("["):
                spans.append((len(text), len(text) + len(piece) - 2, finding))
                named = True
            text += piece.strip("[]") if piece.startswith("[") else piece
        finding += named
    return Caption(text, tuple(spans))


def pair_captions(
    row: Row, drawings: tuple[Drawing, ...], rng: np.random.Generator
) -> tuple[Caption, Caption]:
    """Captions of the untouched and of the drawn twin; both with the same words for the view."""
    view = view_words(row, rng) if rng.random() < 0.4 or row.source in TOLD else ""
    present = [finding_phrase(drawing, rng) for drawing in drawings]
    extra = ""
    if rng.random() < 0.2 and all(d.finding != "cardiomegaly" for d in drawings):
        extra = "normal heart size"
    front = rng.random() < 0.2
    order = [view, *present, extra] if front else [*present, extra, view]
    absent = absence_phrase(drawings, rng)
    return compose([view, absent] if front else [absent, view]), compose(order)


def real_caption(row: Row, grounded: tuple[Drawing, ...], rng: np.random.Generator) -> Caption:
    """Caption of a real radiograph from labels, reading and what the organ maps show."""
    named = {drawing.finding for drawing in grounded}
    parts = [finding_phrase(drawing, rng) for drawing in grounded]
    for label in row.labels:
        finding = LABEL_FINDINGS.get(label)
        if finding in named:
            continue
        if finding:
            named.add(finding)
            parts.append(finding_phrase(Drawing(finding, severity=""), rng))
        elif label not in ("No Finding", "normal"):
            parts.append(label.replace("_", " ").lower())
    if row.text and row.source in ("shenzhen", "montgomery") and row.text.lower() != "normal":
        parts.append(re.sub(r"\s+", " ", row.text.lower())[:80])
    if not parts:
        parts = [absence_phrase((), rng)]
    elif "cardiomegaly" not in named and rng.random() < 0.3 and not row.labels:
        parts.append("normal heart size")
    rng.shuffle(parts)
    told = rng.random() < 0.75 or row.source in TOLD
    return compose([*parts, view_words(row, rng) if told else ""])
