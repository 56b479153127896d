# SPDX-License-Identifier: Apache-2.0
"""A network handed over by a configuration in, a ``Segmenter`` with its true provenance out.

A bundle builds ``network_def`` and fills it by a handler, so nobody but the tensors themselves
knows which weights run.
"""

import hashlib
from copy import deepcopy

import torch
from torch import Tensor, nn

from monai_cxr_cf.anatomy.hybridgnet import HybridGNet
from monai_cxr_cf.anatomy.segment import Segmenter, load_segmenter
from monai_cxr_cf.runs.networks import Networks

DEFAULT = "hybridgnet"
UNSTATED = "Not stated: weights given by the caller"


def adopted(network: nn.Module, networks: Networks) -> Segmenter:
    """The segmenter that runs ``network``, on the CPU as everywhere.

    Holds it the shipped weights, it is the shipped segmenter, by name, hash and licence. Any other
    is copied as it is now and named by a hash over its tensors.
    """
    shipped = load_segmenter(DEFAULT, networks.folder())
    state = network.state_dict()
    if isinstance(network, HybridGNet) and _same(state, shipped.network.state_dict()):
        return shipped
    name = DEFAULT if isinstance(network, HybridGNet) else type(network).__name__
    return Segmenter(deepcopy(network).cpu().eval(), name, digest(state), UNSTATED)


def digest(state: dict[str, Tensor]) -> str:
    """sha256 over names and bytes of the tensors, in the order of names."""
    found = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        found.update(f"{name}:{value.dtype}:{tuple(value.shape)}\n".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(torch.equal(one[name].detach().cpu(), value) for name, value in other.items())
