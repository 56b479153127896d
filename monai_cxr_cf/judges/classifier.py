# SPDX-License-Identifier: Apache-2.0
"""A judge's folder in, probabilities of findings out: J1 for verdicts, J2 for the final table.

A folder holds config.json (findings, network, AUC per finding on the ``test`` split),
model.safetensors, LICENSE and MODEL_CARD.md; nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.judges.card import good
from monai_cxr_cf.judges.networks import JudgeNetwork, Shape
from monai_cxr_cf.judges.preprocess import to_squares
from monai_cxr_cf.weights import models_folder

SHIPPED = ("j1", "j2")
FILES = ("config.json", "model.safetensors")
BATCH = 8

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Judge:
    """A loaded classifier.

    Its probabilities answer "as likely as not?" for classes made equally common, so they are for
    comparing a source with its counterfactual, never a diagnosis.
    """

    name: str  # j1, j2 or the folder's name
    findings: tuple[str, ...]  # names of the vocabulary, in the order of ``predict``
    auc: Mapping[str, Mapping[str, float]]  # per finding: auc, low, high, positives, negatives
    sha256: str  # of model.safetensors
    licence: str
    shape: Shape  # what it looks at, and with what
    network: JudgeNetwork

    def counts(self, finding: str, view: str = "") -> bool:
        """Whether this judge is good enough at a finding in this view: AUC of at least .80."""
        return good(self.auc.get(finding, {}), view)

    def predict(self, images: Sequence[Array]) -> Array:
        """Probabilities of each finding.

        Args:
            images: H x W float32 each, 0..1, bright = dense, any size.

        Returns:
            (N, findings) float32 in 0..1.
        """
        if not len(images):
            return np.zeros((0, len(self.findings)), np.float32)
        squares = torch.from_numpy(self.squares(images))
        with torch.inference_mode():
            logits = torch.cat([self.network(batch) for batch in torch.split(squares, BATCH)])
        return torch.sigmoid(logits).numpy()

    def squares(self, images: Sequence[Array]) -> Array:
        """What the network sees: (N, 1, side, side) float32 in 0..1."""
        return to_squares(images, self.shape.side, self.shape.detail)[:, None]

    def read(self, image: Array) -> dict[str, float]:
        """One image's probability per finding."""
        return dict(zip(self.findings, map(float, self.predict([image])[0]), strict=True))


def load_judge(spec: str | Path, *, models: Path | None = None) -> Judge:
    """A judge by name or folder.

    Args:
        spec: "j1" or "j2" (``judges/`` in the folder of shipped weights), or a folder.
        models: another folder of shipped weights.

    Raises:
        ComponentMissing: no such folder, a file of it is missing, or the weights do not fit.
        BadRequest: config.json describes no judge.
    """
    shipped = str(spec) in SHIPPED
    folder = (models or models_folder()) / "judges" / str(spec) if shipped else Path(spec)
    for name in FILES:
        if not (folder / name).is_file():
            raise ComponentMissing(
                f"The judge {folder.name} has no {name}.",
                hint="Pass a folder made by `cxr-cf train classifier`, or name a shipped judge.",
            )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    try:
        shape = Shape(**config["shape"])
        findings = tuple(config["findings"])
        network = JudgeNetwork(shape, len(findings))
    except (KeyError, TypeError) as error:
        raise BadRequest(
            "config.json of the judge does not describe a network.",
            hint="It must hold findings and shape as `cxr-cf train classifier` writes them.",
        ) from error
    return Judge(
        name=config.get("name", folder.name),
        findings=findings,
        auc=config.get("auc", {}),
        sha256=hashlib.sha256((folder / FILES[1]).read_bytes()).hexdigest(),
        licence=config.get("licence", "unknown"),
        shape=shape,
        network=_filled(network, folder / FILES[1]),
    )


def _filled(network: JudgeNetwork, path: Path) -> JudgeNetwork:
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise ComponentMissing(
            "The judge's weights do not fit the network its config.json describes.",
            hint="Replace the folder by that of one release.",
        ) from error
    return network.eval().requires_grad_(False)


def weights_of(network: JudgeNetwork) -> dict[str, Any]:
    """A judge's tensors as stored: float16, but the findings' maps and batch statistics float32."""
    half = {name for name, _ in network.named_parameters() if not name.startswith("findings.")}
    return {
        name: (value.half() if name in half else value).detach().contiguous()
        for name, value in network.state_dict().items()
    }
