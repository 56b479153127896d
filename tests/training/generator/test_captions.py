# SPDX-License-Identifier: Apache-2.0
"""Captions: what they state, and that their spans are exactly the finding's words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monai_cxr_cf.data.folder import Row, read_index
from monai_cxr_cf.training.drawn_pairs.drawing import Drawing
from monai_cxr_cf.training.drawn_pairs.pairs import balanced
from monai_cxr_cf.training.generator.batches import tokenize
from monai_cxr_cf.training.generator.captions import (
    PHRASES,
    Caption,
    compose,
    pair_captions,
    real_caption,
)
from monai_cxr_cf.training.generator.text import build_text_encoder, caption_corpus, train_tokenizer


@pytest.fixture(scope="module")
def row(small_data: Path) -> Row:
    return read_index(small_data)[0]


@pytest.mark.parametrize("finding", sorted(PHRASES))
def test_spans_cover_the_finding_and_no_place_or_degree(finding: str, row: Row) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        _, drawn = pair_captions(row, (Drawing(finding, "left", "lower", "severe"),), rng)
        named = [drawn.text[start:end] for start, end, _ in drawn.spans]
        assert named
        assert not set("[]{}") & set(drawn.text)
        words = {word for text in named for word in text.split()}
        assert not words & {"left", "right", "severe", "large", "lower", "moderate"}


def test_side_and_degree_of_a_drawing_are_stated(row: Row) -> None:
    rng = np.random.default_rng(1)
    texts = [pair_captions(row, (Drawing("effusion", "right"),), rng)[1].text for _ in range(20)]
    assert all("right" in text and "left" not in text for text in texts)


def test_the_untouched_twin_names_no_finding_as_present(row: Row) -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        plain, _ = pair_captions(row, (Drawing("effusion", "left"),), rng)
        assert plain.spans == ()
        named = [part for part in plain.text.split(", ") if "effusion" in part]
        assert all(part.startswith("no ") for part in named)


def test_labels_of_a_real_radiograph_reach_its_caption(small_data: Path) -> None:
    labelled = next(r for r in read_index(small_data) if "Effusion" in r.labels)
    texts = [real_caption(labelled, (), np.random.default_rng(seed)).text for seed in range(8)]
    assert all("effusion" in text for text in texts)


def test_a_style_that_goes_with_health_is_always_told(row: Row) -> None:
    soft = replace(row, source="nih_256", labels=("No Finding",))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        twins = pair_captions(soft, (Drawing("effusion", "left"),), rng)
        for caption in (real_caption(soft, (), rng), *twins):
            assert "soft radiograph" in caption.text


def test_a_told_style_receives_no_more_findings_than_the_others(row: Row) -> None:
    rows = [replace(row, id=str(i), source="nih_256" if i % 4 else "nih") for i in range(20)]
    kept = balanced(rows, np.random.default_rng(0))
    assert [r.source for r in kept].count("nih_256") == 5
    assert [r for r in rows if r in kept] == kept
    assert balanced(rows[1:4], np.random.default_rng(0)) == rows[1:4]


def test_compose_joins_parts_and_keeps_places() -> None:
    caption = compose(["small [nodule]", "", "PA view"])
    assert caption == Caption("small nodule, PA view", ((6, 12, 0),))


def test_the_tokenizer_finds_the_columns_of_a_span(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(caption_corpus(200), tmp_path)
    text = "Moderate left pleural effusion, no pneumothorax"
    tokens, columns = tokenize(tokenizer, [Caption(text, ((14, 30, 0),)), Caption("")])
    pieces = tokenizer.convert_ids_to_tokens(tokens[0][columns[0] > 0].tolist())
    assert "".join(pieces).replace("</w>", " ").split() == ["pleural", "effusion"]
    assert tokens.shape == columns.shape == (2, 77)
    assert columns[1].sum() == 0
    encoder = build_text_encoder(tokenizer, width=32, layers=1, heads=1)
    assert encoder(tokens).last_hidden_state.shape == (2, 77, 32)
