# SPDX-License-Identifier: Apache-2.0
"""Which tensors of a loaded network do not lie where torch would have put them."""

from collections.abc import Iterable

from torch import Tensor, nn

ALIGNMENT = 64  # bytes, of torch's allocator on a CPU


def unaligned(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """Names of the tensors that start at an address of another alignment."""
    return [name for name, tensor in tensors if tensor.data_ptr() % ALIGNMENT]


def weights(*networks: nn.Module) -> list[tuple[str, Tensor]]:
    """All parameters and buffers, named."""
    return [pair for n in networks for pair in (*n.named_parameters(), *n.named_buffers())]
