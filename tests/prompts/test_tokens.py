# SPDX-License-Identifier: Apache-2.0
"""Token positions by character offsets: on the real CLIP vocabulary and on a small trained one."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.prompts.compose import prompt_from_findings, target_prompt
from monai_cxr_cf.prompts.findings import VOCABULARY
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.prompts.tokens import TokenTable, token_table
from monai_cxr_cf.request import FindingEdit
from tests.fuzz import examples

PIECES = {  # pieces of each word, counted with CLIP's vocabulary
    "pneumothorax": 4, "cardiomegaly": 4, "atelectasis": 4, "mediastinum": 4,
    "pleural effusion": 4, "effusion": 2, "costophrenic": 5, "nodule": 3, "emphysema": 3,
    "perihilar": 3, "edema": 2, "opacity": 2, "retrocardiac": 2, "consolidation": 1,
    "pneumonia": 1, "fibrosis": 1, "mass": 1, "fracture": 1,
}  # fmt: skip


@pytest.fixture(scope="session")
def clip(shared):
    """The vocabulary of Stable Diffusion v1's text encoder."""
    return AutoTokenizer.from_pretrained(shared / "models" / "clip_tokenizer")


@pytest.fixture(scope="session")
def small():
    """A byte-level BPE of 400 pieces trained here, lower-casing like CLIP, PAD of its own."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<e>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<e>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
    )
    bpe.train_from_iterator([f"moderate left {name}" for name in VOCABULARY], trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A <e>", special_tokens=[("<s>", 0), ("<e>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="<e>", pad_token="<pad>",
        unk_token="<e>", model_max_length=77,
    )  # fmt: skip


def path_tokens(table: TokenTable) -> tuple[int, ...]:
    """K_path of all findings together, sorted."""
    return tuple(sorted({k for tokens in table.finding_tokens for k in tokens}))


def written(table, k: int, text: str) -> str:
    """The characters a position stands for."""
    return text[slice(*table.spans[k])]


@pytest.mark.parametrize(("words", "count"), PIECES.items(), ids=PIECES)
def test_piece_counts_of_the_method_hold_on_the_clip_vocabulary(clip, words, count) -> None:
    table = token_table(clip, words)
    assert table.eos - 1 == count


@pytest.mark.parametrize("name", VOCABULARY)
@pytest.mark.parametrize("which", ["clip", "small"])
def test_k_path_spells_the_finding_and_nothing_else(request, which: str, name: str) -> None:
    tokenizer = request.getfixturevalue(which)
    text = f"Moderate {name}, seen."
    parsed = parse_prompt(text)
    table = token_table(tokenizer, text, parsed.findings)
    (tokens,) = table.finding_tokens
    assert "".join(written(table, k, text) for k in tokens) == name.replace(" ", "")
    assert tokens == tuple(range(tokens[0], tokens[-1] + 1))


@pytest.mark.parametrize("which", ["clip", "small"])
@pytest.mark.parametrize(
    "text",
    ["moderate left pleural effusion", "Opacity;  and\tEDEMA", "x " * 100, "", "œdème 3.5 cm"],
)
def test_ids_are_exactly_what_the_tokenizer_gives_the_encoder(request, which, text) -> None:
    tokenizer = request.getfixturevalue(which)
    expected = tokenizer(text, padding="max_length", truncation=True, max_length=77)["input_ids"]
    assert list(token_table(tokenizer, text).ids) == expected


def test_positions_are_those_of_pieces_not_of_words(clip) -> None:
    text = "atelectasis and left pneumothorax"
    table = token_table(clip, text, parse_prompt(text).findings)
    assert table.finding_tokens == ((1, 2, 3, 4), (7, 8, 9, 10))  # word indices: 0 and 3


def test_repeated_words_get_their_own_positions(clip) -> None:
    text = "left effusion and right effusion"
    table = token_table(clip, text, parse_prompt(text).findings)
    assert table.finding_tokens == ((2, 3), (6, 7))
    assert path_tokens(table) == (2, 3, 6, 7)


@pytest.mark.parametrize(
    "text",
    [
        "MODERATE LEFT PLEURAL EFFUSION",
        "moderate   left\t\npleural    effusion",
        "(moderate) left, pleural-effusion...",
        "mode\u0301re\u0301 \u00e9tat: pleural effusion",
        "\u2003left\u00a0pleural  e\u0301ffusion",
    ],
)
def test_offsets_point_into_the_original_text(clip, small, text: str) -> None:
    start = text.casefold().index("pleural")
    edit = FindingEdit("pleural effusion", phrase=text[start:], span=(start, len(text)))
    for tokenizer in (clip, small):
        table = token_table(tokenizer, text, [edit])
        first, last = table.finding_tokens[0][0], table.finding_tokens[0][-1]
        assert table.spans[first][0] == start
        assert table.spans[last][1] == len(text)
        assert all(table.spans[k][1] <= start for k in range(1, first))


def test_piece_that_shares_one_character_belongs_and_a_neighbour_does_not(clip) -> None:
    text = "edemas"
    table = token_table(clip, text, [FindingEdit("pulmonary edema", span=(0, 5))])
    assert table.finding_tokens[0][0] == 1
    table = token_table(clip, "a edema", [FindingEdit("pulmonary edema", span=(2, 7))])
    assert 1 not in table.finding_tokens[0]


def test_negated_and_place_words_are_never_in_k_path(clip) -> None:
    parsed = parse_prompt("no effusion, moderate apical pneumothorax, but edema")
    target = target_prompt(parsed, healthy=False)
    table = token_table(clip, target.text, target.findings)
    said = [written(table, k, target.text) for k in path_tokens(table)]
    assert "".join(said) == "pneumothoraxedema"


def test_specials_are_eos_and_pads_and_never_match(clip, small) -> None:
    for tokenizer in (clip, small):
        table = token_table(tokenizer, "edema", [FindingEdit("pulmonary edema", span=(0, 5))])
        assert table.ids[table.eos] == tokenizer.eos_token_id
        assert len(table.ids) == len(table.spans) == 77
        assert table.special_tokens == tuple(range(table.eos, 77))
        assert all(table.ids[k] == tokenizer.pad_token_id for k in table.pads)
        assert not set(table.special_tokens) & set(path_tokens(table))
        assert 0 not in path_tokens(table)


def test_plain_truncation_is_recorded(clip) -> None:
    text = "edema " + "and so on " * 40
    table = token_table(clip, text, [FindingEdit("pulmonary edema", span=(0, 5))])
    assert table.eos == 76
    assert table.pads == ()
    assert table.truncated
    assert text.endswith(table.truncated)
    assert token_table(clip, "edema").truncated == ""


def test_truncation_that_would_cut_a_finding_is_refused(clip) -> None:
    filler = "a " * 73  # 73 pieces; 75 fit beside BOS and EOS
    text = filler + "pneumothorax"
    span = (len(filler), len(text))
    with pytest.raises(BadRequest) as caught:
        token_table(clip, text, [FindingEdit("pneumothorax", span=span)])
    assert caught.value.code == "prompt_too_long"
    fits = text[4:]  # two words fewer: 71 + 4 pieces
    table = token_table(clip, fits, [FindingEdit("pneumothorax", span=(span[0] - 4, len(fits)))])
    assert table.finding_tokens[0][-1] == 75


def test_organ_words_carry_their_organ_and_side(clip) -> None:
    text = (
        "nodule in the left lung near the heart, right lung clear, both lungs, cardiac silhouette"
    )
    table = token_table(clip, text, parse_prompt("nodule").findings)
    said = {written(table, k, text): organ for k, organ in table.anatomy_tokens.items()}
    assert said["heart"] == said["cardiac"] == "heart"
    assert said["lungs"] == "lungs"
    assert set(table.anatomy_tokens.values()) == {"left_lung", "right_lung", "lungs", "heart"}


def test_finding_wins_over_organ_word(clip) -> None:
    text = "enlarged heart"
    table = token_table(clip, text, parse_prompt(text).findings)
    assert dict(table.anatomy_tokens) == {}
    assert len(path_tokens(table)) == 3


def test_own_anatomy_words_replace_the_default(clip) -> None:
    table = token_table(clip, "left apex of lung", anatomy_words={"apex": "left_lung"})
    assert set(table.anatomy_tokens.values()) == {"left_lung"}


def test_tokenizer_without_offsets_is_refused_in_one_sentence() -> None:
    slow = SimpleNamespace(is_fast=False, model_max_length=77)
    with pytest.raises(ComponentMissing, match="no character offsets"):
        token_table(slow, "edema")


@pytest.mark.parametrize("span", [None, (0, 0), (3, 99), (-1, 4)])
def test_finding_without_a_place_in_the_text_is_refused(clip, span) -> None:
    with pytest.raises(BadRequest):
        token_table(clip, "edema", [FindingEdit("pulmonary edema", span=span)])


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(prefix=st.text(max_size=12), suffix=st.text(max_size=12))
def test_finding_is_found_between_any_text(clip, prefix: str, suffix: str) -> None:
    text = f"{prefix} pneumothorax {suffix}"
    start = len(prefix) + 1
    table = token_table(clip, text, [FindingEdit("pneumothorax", span=(start, start + 12))])
    assert "".join(written(table, k, text) for k in table.finding_tokens[0]) == "pneumothorax"


def test_composed_prompts_have_tokens_for_every_finding(clip, small) -> None:
    edits = [FindingEdit(name, side="left", severity=0.5) for name in list(VOCABULARY)[:6]]
    prompt = prompt_from_findings(edits)
    for tokenizer in (clip, small):
        if tokenizer is small:
            prompt = prompt_from_findings(edits[:2])
        table = token_table(tokenizer, prompt.text, prompt.findings)
        assert all(table.finding_tokens)


def test_side_zone_and_severity_words_are_told_apart_from_findings_and_organs(clip) -> None:
    text = "moderate left lower lobe consolidation in the left lung; the heart is severely enlarged"
    table = token_table(clip, text, parse_prompt(text).findings)
    said = [written(table, k, text) for k in table.modifier_tokens]
    assert said == ["moderate", "left", "lower", "lobe", "left", "severely"]
    assert not set(table.modifier_tokens) & {*table.anatomy_tokens, *path_tokens(table)}
