# SPDX-License-Identifier: Apache-2.0
"""The landmark network is a function of the image alone, exports to TorchScript, loads strictly."""

from pathlib import Path

import pytest
import torch

from monai_cxr_cf.anatomy.hybridgnet import (
    CONTOURS,
    ChebConv,
    HybridGNet,
    coarse_nodes,
    expected_position,
    halve,
    neighbours,
    pair_mean,
    parents,
)


@pytest.fixture(scope="module")
def network() -> HybridGNet:
    """The real network, four channels wide."""
    torch.manual_seed(0)
    return HybridGNet(width=4).eval()


def test_shapes_and_one_hot_output(network: HybridGNet) -> None:
    x = torch.rand(2, 1, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        landmarks, organs = network.landmarks(x), network(x)
    assert landmarks.shape == (2, 120, 2)
    assert organs.shape == (2, 4, 256, 256)
    assert torch.equal(organs.sum(1), torch.ones(2, 256, 256))


def test_intensity_scale_and_offset_do_not_matter(network: HybridGNet) -> None:
    x = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(network.landmarks(x), network.landmarks(40 * x + 7), atol=1e-4)


def test_torchscript_gives_the_same_organs(network: HybridGNet, tmp_path: Path) -> None:
    x = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(3))
    torch.jit.script(network).save(str(tmp_path / "model.ts"))
    loaded = torch.jit.load(str(tmp_path / "model.ts"))
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
        assert torch.equal(loaded.landmarks(x), network.landmarks(x))


def test_plain_state_dict_loads_with_weights_only(network: HybridGNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    twin = HybridGNet(width=4).eval()
    twin.load_state_dict(state)
    x = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert torch.equal(twin(x), network(x))


def test_chebyshev_layer_equals_the_matrix_polynomial() -> None:
    torch.manual_seed(5)
    counts, order = (5, 4), 4
    layer = ChebConv(3, 2, counts, order)
    x = torch.randn(2, 9, 3)
    adjacency = torch.zeros(9, 9)
    for pair in neighbours(counts):
        adjacency[torch.arange(9), pair] = 1
    laplacian = torch.eye(9) - adjacency / 2  # normalised: every node has degree 2
    scaled = laplacian - torch.eye(9)  # 2 L / lambda_max - I with lambda_max = 2
    terms = [x, scaled @ x]
    for _ in range(2, order):
        terms.append(2 * scaled @ terms[-1] - terms[-2])
    assert torch.allclose(layer(x), layer.mix(torch.cat(terms, -1)), atol=1e-6)


@pytest.mark.parametrize("counts", [CONTOURS, halve(CONTOURS), (7, 6, 5)])
def test_unpooling_keeps_coarse_nodes_and_closes_the_contour(counts: tuple[int, ...]) -> None:
    coarse = torch.randn(1, sum(halve(counts)), 2, generator=torch.Generator().manual_seed(6))
    fine = pair_mean(coarse, parents(counts))
    assert fine.shape[1] == sum(counts)
    assert torch.equal(fine[:, coarse_nodes(counts)], coarse)
    last = counts[0] - 1
    if last % 2:
        assert torch.allclose(fine[0, last], (coarse[0, last // 2] + coarse[0, 0]) / 2)


def test_expected_position_finds_a_peak() -> None:
    heat = torch.zeros(1, 1, 16, 32)
    heat[0, 0, 4, 24] = 50.0
    assert torch.allclose(expected_position(heat)[0, 0], torch.tensor([24.5 / 32, 4.5 / 16]))
