# SPDX-License-Identifier: Apache-2.0
"""Drawn findings: where they lie, which way they change the image, what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr_cf.training.drawn_pairs.drawing import SEVERITIES, Drawing
from monai_cxr_cf.training.drawn_pairs.render import PAINTERS, draw
from tests.training.phantom import chest


@pytest.mark.parametrize("finding", sorted(["cardiomegaly", *PAINTERS]))
@pytest.mark.parametrize("severity", SEVERITIES)
def test_every_finding_changes_the_image_where_its_weight_says(finding: str, severity: str) -> None:
    image, labels = chest()
    drawing = Drawing(finding, "" if finding == "cardiomegaly" else "left", "", severity)
    edited, weight = draw(image, labels, drawing, rng=np.random.default_rng(1))
    change = np.abs(edited - image)
    assert change.max() > 0.03
    assert edited.min() >= 0
    assert edited.max() <= 1
    assert change[weight > 0.3].mean() > 5 * change[weight < 0.01].mean()


@pytest.mark.parametrize(("side", "label"), [("right", 1), ("left", 2)])
def test_an_effusion_lies_on_its_side_at_the_bottom(side: str, label: int) -> None:
    image, labels = chest()
    edited, _ = draw(image, labels, Drawing("effusion", side), rng=np.random.default_rng(2))
    change = edited - image
    other = labels == 3 - label
    rows = np.flatnonzero((change * (labels == label)).sum(1) > 0.5)
    assert change[labels == label].mean() > 0.08
    assert np.abs(change[other]).mean() < 0.005
    assert rows.mean() > 0.5 * image.shape[0]


def test_severity_orders_the_area_of_an_effusion() -> None:
    image, labels = chest()
    areas = [
        draw(image, labels, Drawing("effusion", "left", "", s), rng=np.random.default_rng(3))[
            1
        ].sum()
        for s in SEVERITIES
    ]
    assert areas[0] < areas[1] < areas[2]


def test_a_pneumothorax_darkens_and_a_consolidation_brightens_the_lung() -> None:
    image, labels = chest()
    rng = np.random.default_rng(4)
    image = np.clip(image + 0.05 * rng.standard_normal(image.shape), 0, 1).astype(np.float32)
    air, where = draw(image, labels, Drawing("pneumothorax", "left"), rng=rng)
    assert (air - image)[where > 0.8].mean() < -0.03
    solid, where = draw(image, labels, Drawing("consolidation", "left", "upper"), rng=rng)
    assert (solid - image)[where > 0.8].mean() > 0.1


def test_the_same_generator_draws_the_same() -> None:
    image, labels = chest()
    first, second = (
        draw(image, labels, Drawing("edema", "bilateral"), rng=np.random.default_rng(5))[0]
        for _ in range(2)
    )
    assert np.array_equal(first, second)
