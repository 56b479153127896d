# SPDX-License-Identifier: Apache-2.0
"""The one signature of every audited classifier: pictures in, probabilities by label out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.audit.adapters.declared import Declared
from monai_cxr_cf.errors import BadRequest

Array = NDArray[np.float32]
Scores = NDArray[np.float64]
BATCH = 8


@dataclass(frozen=True, eq=False)
class Classifier:
    """A loaded classifier, wherever it runs."""

    name: str
    kind: str  # onnx, torch.export, function, monai bundle, http, judge
    sha256: str  # of what was loaded; "" where nobody can know it
    declared: Declared
    run: Callable[[Any], Any]  # (N, C, H, W) float32, or one H x W, -> scores
    own: bool = False  # it prepares H x W float32 images itself
    network: Any = None  # a torch module for gradients, if there is one

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the scores."""
        return self.declared.labels

    def scores(self, images: Sequence[Array]) -> Scores:
        """Probabilities of each label.

        Args:
            images: H x W float32 each, 0..1, bright = dense, any size.

        Returns:
            (N, labels) float64 in 0..1.

        Raises:
            BadRequest: it answers something else than it declares.
        """
        found = [self._batch(images[at : at + BATCH]) for at in range(0, len(images), BATCH)]
        return np.concatenate(found) if found else np.zeros((0, len(self.labels)))

    def _batch(self, images: Sequence[Array]) -> Scores:
        if self.own:
            return self._checked(self.run(images), len(images))
        if self.declared.layout == "hw":
            planes = self.declared.prepare(images)[:, 0]
            return np.concatenate([self._checked(self.run(plane), 1) for plane in planes])
        return self._checked(self.run(self.declared.prepare(images)), len(images))

    def _checked(self, raw: Any, count: int) -> Scores:
        """Finite numbers, as many as declared, between 0 and 1."""
        labels = self.labels
        if isinstance(raw, dict):
            if missing := [label for label in labels if label not in raw]:
                raise BadRequest(f"The classifier gave no score '{missing[0]}'.")
            raw = np.stack([_plain(raw[label]).reshape(count) for label in labels], axis=1)
        array = _plain(raw)
        if array.size != count * len(labels):
            raise BadRequest(
                f"The classifier gave scores of shape {array.shape} for {count} images; expected "
                f"{len(labels)} each: {', '.join(labels)[:120]}.",
                hint="Mend labels, or name the output that holds the scores.",
            )
        array = array.reshape(count, len(labels))
        if not np.isfinite(array).all():
            raise BadRequest("The classifier gave a score that is not finite.")
        if self.declared.scores == "logit":
            return np.asarray(1 / (1 + np.exp(-np.clip(array, -60, 60))))
        if array.min() < -1e-6 or array.max() > 1 + 1e-6:
            raise BadRequest(
                f"The classifier gave scores from {array.min():.3g} to {array.max():.3g}; "
                "expected 0 to 1.",
                hint="Declare scores: logit.",
            )
        return np.clip(array, 0, 1)


def _plain(value: Any) -> Scores:
    """Tensors, lists and numbers as float64."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise BadRequest("The classifier's answer is no array of numbers.") from error
