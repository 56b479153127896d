# SPDX-License-Identifier: Apache-2.0
"""The Frechet distance is right where it is known, and its features tell radiographs apart."""

from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.data.folder import load_image, read_index
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.evaluation.generator.frechet import (
    Basis,
    cosine,
    features,
    fit_basis,
    frechet,
    halves,
    load_features,
    spread,
)


def cloud(seed: int, *, shift: float = 0.0, scale: float = 1.0, count: int = 4000) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (count, 4))


def test_equal_sets_are_at_zero_and_the_distance_is_symmetric() -> None:
    a, b = cloud(0), cloud(1, shift=0.5, scale=2)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, b) == pytest.approx(frechet(b, a))


def test_it_agrees_with_the_closed_form_for_isotropic_clouds() -> None:
    """|m|^2 + sum (s_a - s_b)^2: here 4 * (.5^2 + 1)."""
    assert frechet(cloud(0), cloud(1, shift=0.5, scale=2)) == pytest.approx(5, rel=0.05)


def test_it_agrees_with_the_matrix_square_root_of_scipy() -> None:
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(2)
    a = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    b = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 1
    first, second = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum()
    expected += np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(a, b) == pytest.approx(expected)


def test_fewer_points_make_the_distance_larger() -> None:
    few = frechet(cloud(0, count=20), cloud(1, count=20))
    assert few > 5 * frechet(cloud(0, count=2000), cloud(1, count=2000))
    with pytest.raises(BadRequest, match="two points"):
        frechet(cloud(0)[:1], cloud(1))


def test_the_basis_keeps_the_directions_with_the_most_variance() -> None:
    rng = np.random.default_rng(0)
    real = (rng.normal(size=(200, 10)) * np.array([9, 5, *[0.1] * 8])).astype(np.float32)
    basis = fit_basis(real, dimensions=2)
    assert isinstance(basis, Basis)
    assert basis.explained > 0.99
    assert np.abs(basis.directions[:, :2]).sum() == pytest.approx(2, abs=0.2)
    assert basis(real).shape == (200, 2)
    assert basis(real).mean(0) == pytest.approx([0, 0], abs=1e-4)
    with pytest.raises(BadRequest, match="directions need more"):
        fit_basis(real[:64])


def test_halves_share_no_patient_and_are_of_equal_size() -> None:
    patients = [f"p{i // 3}" for i in range(60)]
    for one, other in halves(patients, count=25, draws=20):
        assert len(set(one)) == len(set(other)) == 25
        assert not {patients[i] for i in one} & {patients[i] for i in other}
    with pytest.raises(BadRequest, match="cannot give 40"):
        next(halves(patients, count=40, draws=1))


def test_a_spread_holds_most_of_its_values() -> None:
    found = spread(list(np.linspace(0, 100, 1001)))
    assert found == pytest.approx((50, 2.5, 97.5))


def test_features_see_what_a_chest_radiograph_is(shared: Path) -> None:
    data = shared / "data" / "cxr"
    chests = [load_image(data, row)[:256, :256] for row in read_index(data)[:4]]
    network = load_features()
    found = features(network, [*chests, chests[0][:, ::-1], np.zeros((256, 256), np.float32)])
    assert found.shape == (6, 1280)
    alike = cosine(found[[0, 0, 0, 0]], found[[0, 1, 4, 5]])
    assert alike[0] == pytest.approx(1)
    assert alike[3] < alike[1:3].min()
    again = features(network, [chests[1]])
    assert np.allclose(again[0], found[1], atol=1e-4)
    assert features(network, []).shape == (0, 1280)
