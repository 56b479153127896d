# SPDX-License-Identifier: Apache-2.0
"""What a score is worth: pairs of one view, patients drawn, and words where nothing was there."""

import numpy as np
import pytest

from monai_cxr_cf.evaluation.bootstrap import draws_of
from monai_cxr_cf.evaluation.classifier.confounds import confounds, probe, traits, words
from monai_cxr_cf.evaluation.classifier.figures import against, drawn, figures, within
from tests.evaluation.classifier.made import row, rows_of


def test_pairs_of_different_views_do_not_score():
    labels = np.array([1.0, 0.0, 1.0, 0.0])
    scores = np.array([2.0, 2.0, 0.0, 0.0])
    assert within(scores, labels, np.array(["AP", "AP", "PA", "PA"])) == 0.5
    assert np.isnan(within(scores, labels, np.array(["AP", "PA", "AP", "LL"])))


def test_each_view_has_a_figure_of_its_own():
    rows = rows_of(200)
    truth = np.array([float("Effusion" in r.labels) for r in rows])
    portable = np.array([r.view == "AP" for r in rows])
    found = figures(np.where(portable, 0.5, truth), rows, "pleural effusion")
    assert found is not None
    assert found["PA"]["auc"] == 1
    assert found["AP"]["auc"] == 0.5
    assert 0.5 < found["auc"] < 1
    assert found["low"] <= found["auc"] <= found["high"]
    assert found["positives"] == truth.sum() == found["PA"]["positives"] + found["AP"]["positives"]


def test_consolidation_takes_pneumonia_and_says_what_its_own_label_is_worth():
    rows = [row(k, labels=("Pneumonia",) if k % 2 else ("No Finding",)) for k in range(20)]
    rows += [row(90, labels=("Consolidation",)), row(91, labels=("Consolidation",))]
    scores = np.array([float(r.labels == ("Pneumonia",)) for r in rows])
    found = figures(scores, rows, "consolidation")
    assert found is not None
    assert found["positives"] == 12
    assert found["own_label_auc"] == 0.25


@pytest.mark.parametrize("labels", [("No Finding",), ("Effusion",)])
def test_without_positives_or_negatives_there_is_no_figure(labels):
    rows = [row(k, labels=labels) for k in range(10)]
    assert figures(np.arange(10.0), rows, "pleural effusion") is None


def test_rows_that_nobody_speaks_of_do_not_count():
    rows = [row(k) for k in range(6)]
    truth = np.array([1, 0, np.nan, np.nan, 0, np.nan])
    found = against(np.array([3.0, 1, 9, -9, 2, 0]), truth, rows)
    assert found is not None
    assert found["auc"] == 1
    assert (found["positives"], found["negatives"]) == (1, 2)


def test_a_probe_finds_a_trait_that_the_features_hold_and_no_other():
    rng, rows = np.random.default_rng(0), rows_of(300)
    small = np.array([k % 3 == 0 for k in range(300)])
    features = rng.normal(size=(300, 8))
    assert abs(probe(features, small.astype(float), rows) - 0.5) < 0.12
    features[:, 2] += 3 * small
    assert probe(features, small.astype(float), rows) > 0.95
    assert np.isnan(probe(features, np.ones(300), rows))


def test_a_score_that_follows_the_size_of_the_file_is_found_out(tmp_path):
    rng, rows = np.random.default_rng(1), rows_of(400)
    effusion = np.array(["Effusion" in r.labels for r in rows])
    small = rng.random(400) < np.where(effusion, 0.9, 0.2)
    features = np.stack([small + 0.1 * rng.normal(size=400), rng.normal(size=400)], 1)
    honest = {"pleural effusion": effusion + rng.normal(size=400)}
    cheat = {"pleural effusion": features[:, 0]}
    told = confounds(tmp_path, rows, small, features=features, scores=cheat)
    assert told["size"]["probe"] > 0.95
    assert abs(told["size"]["scores"]["pleural effusion"] - 0.5) > 0.4
    both = told["findings"]["pleural effusion"]
    assert both["one_view"] > 0.75
    assert abs(both["one_view_and_size"] - 0.5) < 0.1
    told = confounds(tmp_path, rows, small, features=features, scores=honest)
    assert abs(told["size"]["scores"]["pleural effusion"] - 0.5) < 0.1
    both = told["findings"]["pleural effusion"]
    assert abs(both["one_view_and_size"] - both["one_view"]) < 0.05
    assert "| size: " in words(told)
    assert "| pleural effusion | 0." in words(told)


def test_a_trait_of_one_value_is_none(tmp_path):
    rows = [row(k) for k in range(4)]
    assert traits(tmp_path, rows, np.zeros(4, bool)) == {}
    (tmp_path / "origin.csv").write_text("id,repo\n00000,a\n00001,b\n")
    assert list(traits(tmp_path, rows, np.zeros(4, bool))["repository"]) == [
        "a", "b", "elsewhere", "elsewhere",
    ]  # fmt: skip


def test_patients_are_drawn_with_all_their_rows():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 9, 60).astype(float), (rng.random(60) < 0.4).astype(float)
    views = np.where(rng.random(60) < 0.5, "AP", "PA")
    patients = [f"p{k // 3:02d}" for k in range(60)]
    expected = [within(scores[i], labels[i], views[i]) for i in draws_of(patients)]
    np.testing.assert_allclose(drawn(scores, labels, views, patients), expected, atol=1e-9)
