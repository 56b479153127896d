# SPDX-License-Identifier: Apache-2.0
"""Linear probes: honest folds, groups that teach nothing, and probabilities that mean something."""

from dataclasses import replace

import numpy as np
import pytest

from monai_cxr_cf.measures.probe import Samples, auc, calibration, choose, fit, folds_of


def samples(count: int = 80, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 4 == 0).astype(float)
    features = rng.normal(size=(count, 30))
    features[:, 0] += 3 * labels
    patients = tuple(f"p{k // 2}" for k in range(count))
    groups = tuple("nih" if k % 5 else "cohen" for k in range(count))
    scored = np.array([group == "nih" for group in groups])
    return Samples(features, labels, np.ones(count), patients, groups, scored)


def test_auc_counts_ordered_pairs():
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), labels) == 0.75
    assert auc(np.zeros(4), labels) == 0.5
    assert np.isnan(auc(np.zeros(2), np.zeros(2)))


def test_a_ridge_map_finds_the_signal_and_repeats():
    learnt, unseen = samples(), samples(seed=1)
    linear = fit(learnt, ridge=1.0)
    assert auc(linear(unseen.features), unseen.labels) > 0.8
    np.testing.assert_array_equal(linear.weight, fit(learnt, ridge=1.0).weight)


def test_a_collection_that_differs_only_by_its_source_teaches_nothing():
    learnt = samples()
    away = np.array([g == "cohen" for g in learnt.groups])
    shifted = replace(learnt, labels=np.where(away, 1.0, learnt.labels))
    shifted.features[:, 7] += 50 * away  # a mark of the collection, which is all positive
    linear = fit(shifted, ridge=0.1)
    assert auc(linear(samples(seed=1).features), samples(seed=1).labels) > 0.75


def test_no_patient_is_in_two_folds_and_the_best_penalty_is_found():
    learnt = samples()
    fold = folds_of(learnt)
    for patient in set(learnt.patients):
        assert len({f for f, q in zip(fold, learnt.patients, strict=True) if q == patient}) == 1
    ridge, value, scores = choose(learnt, ridges=(1.0, 1e6))
    assert value > 0.7
    assert scores.shape == learnt.labels.shape
    assert ridge in (1.0, 1e6)


def test_calibrated_logits_mean_as_likely_as_not_for_equal_classes():
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.1).astype(float)
    logits = 0.25 * (rng.normal(2 * labels - 1, 1.0) * 2) - 3  # a quarter of the true slope, moved
    slope, shift = calibration(logits, labels, ["PA"] * 4000)
    assert slope == pytest.approx(4, rel=0.15)
    assert slope * -3 + shift == pytest.approx(0, abs=0.3)
    assert calibration(logits, np.zeros(4000), ["PA"] * 4000) == (1.0, 0.0)
