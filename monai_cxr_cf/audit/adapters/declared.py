# SPDX-License-Identifier: Apache-2.0
"""audit.yaml in, what a classifier wants to see out: declared preprocessing, never guessed.

The file may be YAML or JSON; docs/audit.md 2 lists its fields.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_cxr_cf.errors import BadRequest, UnreadableInput
from monai_cxr_cf.grid import ModelGrid

Array = NDArray[np.float32]
FITS = ("pad", "stretch", "crop")
POLARITIES = ("bright_dense", "dark_dense")
SCORES = ("probability", "logit")
LAYOUTS = ("nchw", "hw")


@dataclass(frozen=True)
class Declared:
    """What goes into a classifier, and what its answers mean."""

    labels: tuple[str, ...]  # in the order of its scores
    size: tuple[int, int] | None = (224, 224)  # rows, columns; None: as the radiograph is
    fit: str = "pad"  # pad to a square, stretch, or crop the middle square
    range: tuple[float, float] = (0.0, 1.0)  # what black and white become
    mean: tuple[float, ...] = ()  # taken off each channel, after range
    std: tuple[float, ...] = ()  # each channel is divided by it
    channels: int = 1
    polarity: str = "bright_dense"  # or dark_dense: bone is black
    layout: str = "nchw"  # or hw: one grey H x W array a call
    scores: str = "probability"  # or logit
    thresholds: Mapping[str, float] = field(default_factory=dict)  # operating points, on 0..1
    output: str = ""  # name of the output that holds the scores; "": the first

    def __post_init__(self) -> None:
        for name, known in (("fit", FITS), ("polarity", POLARITIES), ("scores", SCORES),
                            ("layout", LAYOUTS), ("channels", (1, 3))):  # fmt: skip
            if getattr(self, name) not in known:
                raise _wrong(name, getattr(self, name), " or ".join(map(str, known)))
        if not self.labels or len(set(self.labels)) < len(self.labels):
            raise _wrong("labels", list(self.labels), "one name a score, each once")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 8):
            raise _wrong("size", self.size, "[rows, columns], or null")
        if len(self.range) != 2 or self.range[0] == self.range[1]:
            raise _wrong("range", self.range, "what black and what white become, e.g. [0, 1]")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (0, self.channels):
                raise _wrong(name, getattr(self, name), f"{self.channels} numbers")
        if any(value <= 0 for value in self.std):
            raise _wrong("std", self.std, "numbers above 0")
        wrong = [n for n, v in self.thresholds.items() if n not in self.labels or not 0 < v < 1]
        if wrong:
            raise _wrong("thresholds", wrong[0], "a number between 0 and 1 for names of labels")

    def threshold(self, label: str) -> float:
        """The operating point of a score."""
        return float(self.thresholds.get(label, 0.5))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    def prepare(self, images: Sequence[Array]) -> Array:
        """H x W float32 images, 0..1, bright = dense -> (N, C, rows, columns) float32."""
        return np.stack([self._one(image) for image in images])

    def returned(self, field: Array, shape: tuple[int, int]) -> Array:
        """A field on the prepared grid, on an image's own pixels; 0 where it was cropped."""
        if self.size in (None, shape):
            return field
        if self.fit == "pad":
            return ModelGrid(shape, field.shape[0]).to_native(field)
        rows, columns = (min(shape),) * 2 if self.fit == "crop" else shape
        picture = Image.fromarray(field).resize((columns, rows), Image.Resampling.BILINEAR)
        whole = Image.new("F", (shape[1], shape[0]))
        whole.paste(picture, ((shape[1] - columns) // 2, (shape[0] - rows) // 2))
        return np.asarray(whole)

    def _one(self, image: Array) -> Array:
        grey = np.clip(_fitted(image, self.size, self.fit), 0, 1)
        if self.polarity == "dark_dense":
            grey = 1 - grey
        low, high = self.range
        planes = np.repeat((low + (high - low) * grey)[None], self.channels, axis=0)
        if self.mean:
            planes = planes - np.array(self.mean, np.float32)[:, None, None]
        if self.std:
            planes = planes / np.array(self.std, np.float32)[:, None, None]
        return planes.astype(np.float32)


def _fitted(image: Array, size: tuple[int, int] | None, fit: str) -> Array:
    if size is None or size == image.shape:
        return image
    if fit == "pad" and size[0] == size[1]:
        return ModelGrid((image.shape[0], image.shape[1]), size[0]).to_model(image)
    if fit == "crop":
        side = min(image.shape)
        top, left = ((length - side) // 2 for length in image.shape)
        image = image[top : top + side, left : left + side]
    elif fit == "pad":
        raise _wrong("size", size, "a square to pad to; or fit: stretch")
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC), np.float32)


def read_declared(path: Path) -> Declared:
    """The declaration in a file.

    Raises:
        UnreadableInput: no such file, or no YAML.
        BadRequest: an unknown field or a wrong value.
    """
    import yaml

    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise UnreadableInput(
            "The preprocessing file is no readable YAML.", hint="See docs/audit.md 2."
        ) from error
    if not isinstance(told, dict) or "labels" not in told:
        raise BadRequest(
            "The preprocessing file names no labels.", hint="Such as labels: [Effusion, Edema]."
        )
    known = {f.name for f in fields(Declared)}
    if unknown := sorted(set(map(str, told)) - known):
        raise BadRequest(
            f"'{unknown[0]}' is no field of the preprocessing file.",
            hint=f"Fields: {', '.join(sorted(known))}.",
        )
    return _typed(told)


def _typed(told: Mapping[str, Any]) -> Declared:
    values: dict[str, Any] = dict(told)
    try:
        for name, kind in (("labels", str), ("size", int), ("range", float), ("mean", float),
                           ("std", float)):  # fmt: skip
            if values.get(name) is not None:
                given = values[name] if isinstance(values[name], list) else [values[name]]
                given = given * 2 if name == "size" and len(given) == 1 else given
                values[name] = tuple(map(kind, given))
        points = values.get("thresholds", {})
        if not isinstance(points, dict):
            points = dict.fromkeys(values["labels"], points)
        values["thresholds"] = {str(name): float(value) for name, value in points.items()}
        return Declared(**values)
    except (TypeError, ValueError) as error:
        raise BadRequest(
            "A value of the preprocessing file has the wrong type.", hint="See docs/audit.md 2."
        ) from error


def _wrong(name: str, value: Any, expected: str) -> BadRequest:
    return BadRequest(f"{name} is {str(value)[:60]}; expected {expected}.")
