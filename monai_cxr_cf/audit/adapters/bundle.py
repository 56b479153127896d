# SPDX-License-Identifier: Apache-2.0
"""A MONAI bundle's network as a classifier: ``network_def`` of its inference configuration.

Weights are safetensors or a state dict of plain tensors. A configuration may hold Python
expressions: use bundles that you would run.
"""

from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr_cf.errors import BadRequest, UnreadableInput

CONFIGS = ("inference.json", "inference.yaml", "evaluate.json", "train.json")
WEIGHTS = ("model.safetensors", "model.pt", "model.pth")


def load_bundle(folder: Path) -> tuple[Any, Any, Path]:
    """A function from (N, C, H, W) float32 arrays to scores, the network, and its weights' file.

    Raises:
        UnreadableInput: a part of the bundle is missing or is not what it should be.
        BadRequest: when run, it wants another shape.
    """
    config = _one(folder / "configs", CONFIGS)
    weights = _one(folder / "models", WEIGHTS)
    network = _network(folder, config, weights)

    def run(batch: Any) -> Any:
        import torch

        with torch.inference_mode():
            try:
                out = network(torch.from_numpy(np.ascontiguousarray(batch)))
            except RuntimeError as error:
                raise BadRequest(
                    f"The bundle's network refused a batch of shape {batch.shape}.",
                    hint="Mend size and channels in audit.yaml.",
                ) from error
        return out[0] if isinstance(out, list | tuple) and out else out

    return run, network, weights


def _network(folder: Path, config: Path, weights: Path) -> Any:
    """The network, filled, for use only."""
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(config))
    parser["bundle_root"] = str(folder)
    try:
        network = parser.get_parsed_content("network_def")
        network.load_state_dict(_state(weights))
    except Exception as error:  # of configuration, network or weights
        raise UnreadableInput(
            f"The bundle's network cannot be built and filled: {type(error).__name__}.",
            hint="Check network_def and that models/ belongs to it.",
        ) from error
    return network.eval().requires_grad_(False)


def _one(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these files that is there."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UnreadableInput(
        f"The bundle lacks {folder.name}/{names[0]}.",
        hint="Expected configs/inference.json with network_def, and the weights in models/.",
    )


def _state(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    return found.get("model", found) if isinstance(found, dict) else found
