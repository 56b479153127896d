# SPDX-License-Identifier: Apache-2.0
"""Loaded weights lie in aligned memory of their own, so that a file samples like what it holds."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from monai_cxr_cf.diffusion.model.backbone import load_backbone
from monai_cxr_cf.diffusion.model.checkpoints import aligned
from tests.alignment import unaligned, weights


def test_a_folder_s_weights_are_copied_out_of_the_mapped_files(tiny_folder: Path) -> None:
    for path in tiny_folder.rglob("*.safetensors"):
        assert unaligned(load_file(path).items()), f"{path.name} would show nothing"
    loaded = load_backbone(str(tiny_folder), models=tiny_folder)
    found = weights(loaded.unet, loaded.vae, loaded.text_encoder)
    assert len(found) > 300
    assert unaligned(found) == []


def test_copying_changes_no_value_and_keeps_what_is_shared_shared(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    mapped = load_file(tmp_path / "network.safetensors")
    network.load_state_dict(mapped, assign=True)
    network[1].weight = network[0].weight
    assert unaligned(weights(network))
    assert aligned(network) is network
    assert unaligned(weights(network)) == []
    assert network[1].weight is network[0].weight
    assert network[0].weight.data_ptr() != mapped["0.weight"].data_ptr()
    expected = mapped | {"1.weight": mapped["0.weight"]}
    assert all(torch.equal(v, expected[k]) for k, v in network.state_dict().items())
