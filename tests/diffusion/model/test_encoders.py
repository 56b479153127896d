# SPDX-License-Identifier: Apache-2.0
"""A backbone that reads with a BERT, saved with heads as RadEdit's is: loaded, and edited with."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertTokenizer

from monai_cxr_cf.diffusion.model.backbone import load_backbone
from monai_cxr_cf.diffusion.model.text import encode_text, end_of
from monai_cxr_cf.diffusion.task import Target, Words
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from monai_cxr_cf.prompts.parse import parse_prompt
from monai_cxr_cf.prompts.tokens import token_table
from tests.diffusion.conftest import make_task
from tests.diffusion.model.test_backbone import save
from tests.methods.quick import quick

TEXT = "moderate left pleural effusion"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *TEXT.split(), "normal", "heart", "##s"]


@pytest.fixture(scope="module")
def bert(tiny, tmp_path_factory):
    """A folder whose text encoder is a masked-language BERT, and that model."""
    folder = tmp_path_factory.mktemp("models") / "radedit"
    save(tiny, folder)
    shutil.rmtree(folder / "text_encoder")
    shutil.rmtree(folder / "tokenizer")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(PIECES), hidden_size=24, num_hidden_layers=2,
                        num_attention_heads=2, intermediate_size=32)  # fmt: skip
    made = BertForMaskedLM(config).eval()
    made.save_pretrained(folder / "text_encoder")
    told = json.loads((folder / "text_encoder" / "config.json").read_text())
    told |= {"model_type": "cxr-bert", "auto_map": {"AutoModel": "evil.CXRBertModel"}}
    (folder / "text_encoder" / "config.json").write_text(json.dumps(told))
    vocab = {piece: i for i, piece in enumerate(PIECES)}
    BertTokenizer(vocab=vocab, model_max_length=512).save_pretrained(folder / "tokenizer")
    return folder, made


@pytest.fixture(scope="module")
def loaded(bert):
    return load_backbone(str(bert[0]), models=bert[0].parent)


def test_its_states_are_those_of_the_masked_language_model(bert, loaded) -> None:
    ids = [2, 4, 5, 6, 7, 3, *([0] * 122)]
    with torch.no_grad():
        theirs = bert[1].bert(torch.tensor([ids])).last_hidden_state  # padding is attended
    assert torch.allclose(encode_text(loaded, TEXT), theirs, atol=1e-6)
    assert (loaded.positions, end_of(loaded, TEXT)) == (128, 5)


def test_words_are_found_by_offsets_behind_cls(loaded) -> None:
    found = token_table(loaded.tokenizer, TEXT, parse_prompt(TEXT).findings)
    assert found.finding_tokens == ((3, 4),)
    assert (found.eos, len(found.ids), found.ids[0]) == (5, 128, 2)


@pytest.mark.parametrize("name", ["radedit", "p2p", "ledits", "rse", "regulated"])
def test_methods_edit_with_it(loaded, name) -> None:
    given = make_task(loaded.tokenizer)
    target = replace(given.targets[0], tokens=(3, 4))
    given = replace(given, prompt=TEXT, source_prompt="normal heart", targets=(target,),
                    organ_tokens={}, special_tokens=(), modifier_tokens=())  # fmt: skip
    config = DEFAULT.with_overrides({"sampling": {"steps": 4}})
    choice = name if name == "regulated" else quick(name)
    found = run_method(choice, loaded, given, config=config, seeds=[1])
    assert (found.z - found.z_src).abs().max() > 1e-2


def test_what_counts_in_positions_of_clip_is_refused(loaded) -> None:
    given = make_task(loaded.tokenizer)
    own = Target("edema", (1,), given.kappa, words=Words("edema", (1,)))
    with pytest.raises(BadRequest, match="reads 128 tokens"):
        run_method("regulated", loaded, replace(given, targets=(own,)), config=DEFAULT, seeds=[1])


def test_a_word_beyond_the_positions_is_refused(tiny) -> None:
    given = make_task(tiny.tokenizer)
    far = replace(given, targets=(replace(given.targets[0], tokens=(77,)),))
    for name in ("regulated", "radedit"):
        with pytest.raises(BadRequest, match="beyond the 77 tokens of the prompt"):
            run_method(name, tiny, far, config=DEFAULT, seeds=[1])


def test_a_missing_key_and_a_torn_file_are_refused(bert, tmp_path) -> None:
    folder = shutil.copytree(bert[0], tmp_path / "copy")
    file = folder / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    del weights["bert.embeddings.LayerNorm.weight"]
    save_file(weights, file)
    with pytest.raises(BadRequest, match=r"1 missing keys, first 'embeddings.LayerNorm.weight'"):
        load_backbone(str(folder), models=tmp_path)
    file.write_bytes(b"torn")
    with pytest.raises(ComponentMissing, match="cannot be read"):
        load_backbone(str(folder), models=tmp_path)
