# SPDX-License-Identifier: Apache-2.0
"""Which words of a report reach the model, and which patients only watch."""

from pathlib import Path

import pytest

from monai_cxr_cf.data.table import Captioned
from monai_cxr_cf.diffusion.model.backbone import load_backbone
from monai_cxr_cf.errors import UnreadableInput
from monai_cxr_cf.training.generator.latent_cache import hold_out
from monai_cxr_cf.training.generator.reports import fitting


def test_captions_are_cut_so_that_finding_words_survive(tiny_folder: Path) -> None:
    tokenizer = load_backbone(str(tiny_folder), models=tiny_folder).tokenizer

    def cut(positions: int) -> str:
        tokenizer.model_max_length = positions
        prompt = "severe left lower lung consolidation and mild right pleural effusion"
        return fitting(prompt, "PA view", tokenizer)

    whole = len(
        tokenizer("severe left lower lung consolidation and mild right pleural effusion, PA view")[
            "input_ids"
        ]
    )
    assert cut(whole).endswith(", PA view")
    assert cut(whole - 1).endswith("pleural effusion")
    names = len(tokenizer("consolidation and pleural effusion")["input_ids"])
    assert cut(names) == "consolidation and pleural effusion"
    assert cut(names - 1) == "consolidation"


def test_a_tenth_of_the_patients_watches_where_no_split_says_so() -> None:
    rows = [Captioned(f"i{n}", "", f"p{n // 2}", "PA", "train", "") for n in range(100)]
    learnt, apart = hold_out(rows, 4)
    assert len(apart) == 4
    assert not {row.patient for row in learnt} & {row.patient for row in apart}
    assert len(learnt) == 92
    with pytest.raises(UnreadableInput, match="suffice"):
        hold_out(rows[:2], 4)
