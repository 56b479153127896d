# SPDX-License-Identifier: Apache-2.0
"""What this installation is: versions, lock file, weights; read without heavy imports."""

import json
import platform
from hashlib import file_digest, sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import monai_cxr_cf
from monai_cxr_cf.catalogue.table import TABLE, as_dict
from monai_cxr_cf.errors import ComponentMissing
from monai_cxr_cf.presets import PRESETS, SWITCHES
from monai_cxr_cf.prompts.findings import VOCABULARY, ZONES
from monai_cxr_cf.request import VERSION, schema
from monai_cxr_cf.runs.networks import Networks
from monai_cxr_cf.weights import models_folder, stated_licence

BACKBONE = "cxr-mini"  # the shipped one
# What the dials of ``default`` rest on. Whether a law acts was measured on cxr-mini: effect inside
# the region against change outside. Calibrations of backbones replace some, as the evaluation
# tells. All others are choices that a page describes.
GROUNDS: dict[str, str] = {
    "docs/cxr-mini/frontier.md": "sampling.guidance_map, gate.mode, boost.eta, correct.alpha_max, "
    "tokens.regional_prompt, tokens.carrier, tokens.source",
    "docs/evaluation.md 7": "sampling.solver, sampling.guidance_scale, start.kind, start.strength",
    "docs/method.md 2.1": "sampling.spacing, sampling.eta_ddim, boost.mu, boost.side",
    "docs/method.md 2.2": "gate.renorm, gate.lam, gate.beta, gate.bridge, gate.branches, "
    "gate.levels",
    "docs/method.md 2.3": "anatomy.strength, boost.renorm",
    "docs/method.md 2.4": "energy.levels, energy.map",
    "docs/method.md 2.5": "correct.norm, correct.scale, correct.truncated, correct.cap, "
    "correct.stop_score",
    "docs/method.md 2.6": "keep.paste",
    "docs/method.md 2.7": "keep.band_px, output.composite, output.bounds, output.tau1, "
    "output.tau2, output.detail",
    "docs/method.md 2.8": "sampling.cfg_from, sampling.cfg_until, sampling.guidance_rms",
    "docs/method.md 4": "tokens.removal",
    "docs/method.md 5": "sampling.steps",
    "docs/usage.md 3": "output.roi_crop",
}

LIBRARIES = (
    *("torch", "diffusers", "transformers", "accelerate", "safetensors", "tokenizers"),
    *("monai", "pytorch-ignite", "pydicom", "highdicom", "python-gdcm", "SimpleITK"),
    *("numpy", "scipy", "pillow", "matplotlib", "jsonschema", "rich"),
)
WEIGHTS = (".safetensors", ".pt", ".bin", ".ts")


def versions() -> dict[str, str]:
    """Python and the libraries a result depends on; a missing one is said so."""
    found = {"monai-cxr-cf": monai_cxr_cf.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def lock_hash() -> str | None:
    """sha256 of the lock file this version was tested with; None if it is not at hand."""
    package = Path(monai_cxr_cf.__file__).resolve().parent
    for path in (package / "constraints.txt", package.parent / "constraints.txt"):
        if path.is_file():
            return sha256(path.read_bytes()).hexdigest()
    return None


def models() -> str | None:
    """Where the shipped weights lie; None if they are missing."""
    try:
        return str(models_folder())
    except ComponentMissing:
        return None


def weights() -> list[dict[str, Any]]:
    """Every shipped weight file: path in the models folder, sha256, bytes, licence."""
    try:
        folder = models_folder()
    except ComponentMissing:
        return []
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix in WEIGHTS and p.is_file()):
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        size = path.stat().st_size
        entry = {"file": name, "sha256": digest, "bytes": size, "licence": _licence(folder, path)}
        found.append(entry)
    return found


def _licence(folder: Path, path: Path) -> str:
    """The terms of one weight file: the segmenter's own card, else its folder's."""
    card = folder / "segmenter" / "config.json"
    if path.parent in (folder, folder / "segmenter") and card.is_file():
        return str(json.loads(card.read_text(encoding="utf-8")).get("licence", "unknown"))
    parts = path.relative_to(folder).parts
    top = path.parent if parts[0] == "judges" else folder / parts[0]  # each judge has a card
    return stated_licence(top)


def calibrated(backbone: str) -> dict[str, dict[str, Any]]:
    """Every preset as additions with the shipped ``backbone`` use it; empty without its weights."""

    if models() is None:
        return {}
    settings = Networks().calibration(backbone)
    return {name: settings.config(name).as_dict() for name in PRESETS}


def unproven(findings: list[str]) -> list[str]:
    """Findings that the shipped backbone's own evaluation does not vouch for.

    ``evidence.json`` beside the weights lists the findings that passed; without it, none did.
    """
    try:
        path = models_folder() / "cxr-mini" / "evidence.json"
    except ComponentMissing:
        return findings
    if not path.is_file():
        return findings
    proven = json.loads(path.read_text(encoding="utf-8")).get("findings", [])
    return [name for name in findings if name not in proven]


def collect() -> dict[str, Any]:
    """Versions, weights, vocabulary, presets, and what is not proven."""

    return {
        "versions": versions(),
        "lock_sha256": lock_hash(),
        "request_version": VERSION,
        "request_schema": schema()["$id"],
        "models": models(),
        "weights": weights(),
        "findings": {name: _finding(found) for name, found in VOCABULARY.items()},
        "zones": list(ZONES),
        "unproven_findings": unproven(list(VOCABULARY)),
        "presets": {name: config.as_dict() for name, config in PRESETS.items()},
        "presets_calibrated": {BACKBONE: calibrated(BACKBONE)},
        "methods": {name: as_dict(row) for name, row in TABLE.items()},
        "switches": SWITCHES,
        "grounds": GROUNDS,
        "intended_use": "Research only; not for diagnosis, treatment or training of readers.",
    }


def _finding(found: Any) -> dict[str, Any]:
    code = found.code
    return {
        "synonyms": list(found.synonyms),
        "region": [list(term) for term in found.region],
        "code": [code.value, code.scheme, code.meaning] if code else None,
        "related": list(found.related),
    }
