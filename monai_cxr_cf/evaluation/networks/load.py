# SPDX-License-Identifier: Apache-2.0
"""A folder or cached hub id in, a network that measures pictures out; nothing is fetched unasked.

A folder holds ``network.json`` and safetensors with torchvision's key names, or is a transformers
folder (RAD-DINO, ViT, CLIP). docs/methods.md 6 says what stands in it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from monai_cxr_cf.diffusion.model.checkpoints import aligned, check_keys
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.evaluation.generator.likeness import Likeness, digest, load_likeness
from monai_cxr_cf.evaluation.networks.inception import InceptionFid

Array = NDArray[np.float32]
FILE, BATCH = "network.json", 8
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINDS = ("densenet121", "resnet50", "xrv_densenet121", "inception_fid")
LEFT = ("num_batches_tracked",)  # counters that old files lack
ASPECTS = ("stretch", "crop")


@dataclass(frozen=True)
class Looks:
    """How pictures are shown to a network: ``network.json``.

    Attributes:
        kind: one of ``KINDS``.
        side: px of the square it sees.
        aspect: ``stretch`` the picture to it, or ``crop`` its centre.
        mean, std: taken off the channels, of values 0..1.
        labels: of its outputs.
        auc: label -> AUC on real held-out radiographs.
        operating: label's output that is as likely as not (``xrv_densenet121``).
    """

    kind: str
    side: int = 224
    aspect: str = "stretch"
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    labels: tuple[str, ...] = ()
    auc: dict[str, float] | None = None
    operating: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Network:
    """A network with its looks."""

    name: str
    looks: Looks
    model: Any
    sha256: str

    @torch.no_grad()
    def vectors(self, images: Sequence[Array]) -> Array:
        """(N, D) features of HxW pictures in 0..1."""
        return self._run(images, lambda x: _features(self.model, self.looks.kind, x))

    @torch.no_grad()
    def outputs(self, images: Sequence[Array]) -> Array:
        """(N, labels) logits."""
        return self._run(images, self.model)

    def _run(self, images: Sequence[Array], call: Callable[[Tensor], Tensor]) -> Array:
        shown = torch.cat([shown_to(self.looks, image) for image in images])
        return np.concatenate([call(part).float().numpy() for part in torch.split(shown, BATCH)])


@dataclass(frozen=True, eq=False)
class Finding:
    """One output of a network as Conf."""

    network: Network
    at: int
    auc: float | None

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.network.name

    @property
    def sha256(self) -> str:
        """Of the weights."""
        return self.network.sha256

    def predict(self, images: Sequence[Array]) -> Array:
        """Sigmoid of the output; with an operating point that point becomes .5."""
        p = 1 / (1 + np.exp(-self.network.outputs(images)[:, self.at].astype(np.float64)))
        points = self.network.looks.operating
        if points:
            at = points[self.at]
            p = np.where(p < at, p / (2 * at), 1 - (1 - p) / (2 * (1 - at)))
        return np.asarray(p, np.float32)


def shown_to(looks: Looks, image: Array) -> Tensor:
    """HxW in 0..1 -> (1, C, side, side): 8 bits, bilinear without low-pass, as Conf is published.

    ``xrv_densenet121`` sees one channel of -1024..1024.
    """
    grey = torch.from_numpy(np.rint(np.clip(image, 0, 1) * 255).astype(np.float32))[None, None]
    if looks.aspect == "crop":
        side = min(grey.shape[-2:])
        top, left = ((n - side) // 2 for n in grey.shape[-2:])
        grey = grey[..., top : top + side, left : left + side]
    grey = F.interpolate(grey, (looks.side, looks.side), mode="bilinear") / 255
    if looks.kind == "xrv_densenet121":
        return (2 * grey - 1) * 1024
    if looks.kind == "inception_fid":
        return (2 * grey - 1).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (looks.mean, looks.std))
    return (grey.expand(-1, 3, -1, -1) - mean) / std


def load_conf(folder: Path, finding: str) -> Finding:
    """The output of a folder's network for a finding; the only one is anybody's.

    Raises:
        BadRequest: it has several outputs, and none of that name.
        ComponentMissing: as ``load_network``.
    """
    network = load_network(folder)
    labels = [label.replace("_", " ").casefold() for label in network.looks.labels]
    names = {finding, finding.removeprefix("pleural "), finding.removeprefix("pulmonary ")}
    at = next((n for n, label in enumerate(labels) if label in names), None)
    if at is None and len(labels) > 1:
        raise BadRequest(
            f"The network {folder.name} has no output '{finding}'.",
            hint=f"Outputs: {', '.join(network.looks.labels)}.",
        )
    label = network.looks.labels[at or 0] if labels else finding
    return Finding(network, at or 0, (network.looks.auc or {}).get(label))


def load_vectors(spec: str) -> Likeness:
    """The features of a folder's network, of a cached hub id, or the stand-in for "".

    Raises:
        BadRequest, ComponentMissing: as ``load_network``; or the id is not on this machine.
    """
    if not spec:
        return load_likeness(None)
    folder = Path(spec).expanduser()
    folder = folder if folder.is_dir() else cached(spec)
    if (folder / FILE).is_file():
        network = load_network(folder)
        return Likeness(f"{network.looks.kind} ({folder.name})", network.vectors, network.sha256)
    return _transformer(folder, spec)


def cached(spec: str) -> Path:
    """The snapshot of a hub id on this machine; fetched only if CXR_CF_ALLOW_HUB=1."""
    from huggingface_hub import snapshot_download

    try:
        if spec.count("/") != 1 or spec.startswith((".", "/", "~")):
            raise ValueError(spec)
        allowed = os.environ.get("CXR_CF_ALLOW_HUB") == "1"
        wanted = ["*.json", "*.safetensors", "*.md"]
        return Path(snapshot_download(spec, local_files_only=not allowed, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        raise ComponentMissing(
            f"The network '{Path(spec).name}' is neither a folder nor a hub id on this machine.",
            hint="Set CXR_CF_ALLOW_HUB=1 once to fetch a hub id, or give a local folder.",
        ) from error


def load_network(folder: Path) -> Network:
    """A network by its folder.

    Raises:
        ComponentMissing: a file is missing, or cannot be read.
        BadRequest: ``network.json`` describes none, or keys do not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    try:
        told = json.loads((folder / FILE).read_text(encoding="utf-8"))
        tuples: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in told.items()
        }
        looks = Looks(**tuples)
        weights = load_file(files[0])
    except (OSError, IndexError, SafetensorError) as error:
        raise ComponentMissing(
            f"The folder {folder.name} lacks a readable {FILE} or safetensors.",
            hint="Convert pickled weights in an environment of your own (docs/methods.md 6).",
        ) from error
    except (ValueError, TypeError) as error:
        raise BadRequest(f"{FILE} of {folder.name} describes no network: {error}.") from error
    if looks.kind not in KINDS or looks.aspect not in ASPECTS:
        raise BadRequest(
            f"{FILE} of {folder.name} has the kind '{looks.kind}' and the aspect '{looks.aspect}'.",
            hint=f"Kinds: {', '.join(KINDS)}. Aspects: {', '.join(ASPECTS)}.",
        )
    model = _filled(_empty(looks), renamed(looks.kind, weights), folder.name)
    return Network(folder.name, looks, model, digest(model))


def _empty(looks: Looks) -> Any:
    from monai.networks.nets import DenseNet121
    from monai.networks.nets.resnet import resnet50

    outputs = max(1, len(looks.labels))
    if looks.kind == "inception_fid":
        return InceptionFid()
    if looks.kind == "resnet50":
        return resnet50(spatial_dims=2, n_input_channels=3, num_classes=outputs,
                        conv1_t_stride=2, bias_downsample=False)  # fmt: skip
    channels = 1 if looks.kind == "xrv_densenet121" else 3
    return DenseNet121(spatial_dims=2, in_channels=channels, out_channels=outputs)


def renamed(kind: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's key names as the network here has them."""
    if kind == "inception_fid":
        return {k: v for k, v in weights.items() if not k.startswith(("fc.", "AuxLogits."))}
    if kind == "resnet50":
        return dict(weights)
    found = {}
    for key, value in weights.items():
        if key == "op_threshs":
            continue
        name = re.sub(r"(denselayer\d+)\.(norm|conv)\.?(\d)", r"\1.layers.\2\3", key)
        found[name.replace("classifier.", "class_layers.out.")] = value
    return found


def _filled(model: Any, weights: dict[str, Tensor], name: str) -> Any:
    expected = model.state_dict()
    shaped = {k: v for k, v in weights.items() if k in expected and v.shape == expected[k].shape}
    missing = [k for k in expected if k not in weights and not k.endswith(LEFT)]
    check_keys(name, {
        "missing_keys": missing,
        "unexpected_keys": [k for k in weights if k not in expected],
        "mismatched_keys": [k for k in weights if k in expected and k not in shaped],
    })  # fmt: skip
    model.load_state_dict({k: v.float() for k, v in shaped.items()}, strict=False)
    return aligned(model.eval().requires_grad_(False))


def _features(model: Any, kind: str, x: Tensor) -> Tensor:
    """Pooled features before the last layer."""
    if kind == "inception_fid":
        return model(x)  # type: ignore[no-any-return]
    if kind == "resnet50":
        x = model.maxpool(model.act(model.bn1(model.conv1(x))))
        for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
            x = layer(x)
        return x.mean((2, 3))
    return F.relu(model.features(x)).mean((2, 3))


def _transformer(folder: Path, spec: str) -> Likeness:
    """A vision transformer of transformers, by its own processor's size, mean and std."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type == "clip":
            return load_likeness(folder)
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        shown = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ComponentMissing(
            f"'{Path(spec).name}' holds no vision transformer that transformers can read.",
            hint="A folder needs config.json, preprocessor_config.json and safetensors.",
        ) from error
    size = shown.get("crop_size") or shown["size"]
    side = int(size.get("height") or size["shortest_edge"])
    looks = Looks("vit", side, "stretch", tuple(shown["image_mean"]), tuple(shown["image_std"]))
    model = aligned(model.eval().requires_grad_(False))

    @torch.no_grad()
    def vectors(images: Sequence[Array]) -> Array:
        every = torch.cat([shown_to(looks, image) for image in images])
        found = [model(pixel_values=part).pooler_output for part in torch.split(every, BATCH)]
        return np.asarray(torch.cat(found).float().numpy(), np.float32)

    return Likeness(f"{config.model_type} ({Path(spec).name})", vectors, digest(model))
