# SPDX-License-Identifier: Apache-2.0
"""ProgEmu at tiny size: ids, tokens that may come, keys, a picture, refusals before it is read."""

import base64
import hashlib
import json
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import Emu3ForCausalLM, Emu3TextConfig, Emu3VQVAE, Emu3VQVAEConfig

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.modes import sham_task
from monai_cxr_cf.errors import BadRequest, ComponentMissing, ResourceExhausted
from monai_cxr_cf.methods.progemu import model
from monai_cxr_cf.methods.progemu.ids import CODES, allowed, codes_of, prompt
from monai_cxr_cf.methods.registry import run_method
from monai_cxr_cf.presets import DEFAULT
from tests.methods.peers.fixed import STORED
from tests.methods.quick import backbone, task

TOLD = json.loads(STORED.read_text(encoding="utf-8"))
SHAPE = {"ch": 32, "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [3]}
SHAPE |= {"z_channels": 4, "embed_dim": 4, "codebook_size": 64, "model_type": "Emu3VisionVQ"}
SIDE = 16  # px: 2 x 2 codes


def value(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A weight from its published name."""
    if len(shape) < 2:
        return torch.full(shape, float("norm" in name and name.endswith("weight")))
    drawn = np.random.RandomState(crc32(name.encode())).standard_normal(shape)
    scale = 0.5 if "embedding" in name else 1.5
    return torch.from_numpy((drawn / np.sqrt(np.prod(shape[1:])) * scale).astype(np.float32))


def published(vision) -> dict[str, torch.Tensor]:
    """The image tokenizer's weights under their published names and shapes."""
    back = (
        (".middle_block.attn_norm.", ".mid.attn_1.norm."), (".middle_block.", ".mid."),
        ("_block.down.", ".down."), ("_block.up.", ".up."),
        (".down.down.", ".down."), (".up.up.", ".up."),
        ("q_proj", "q"), ("k_proj", "k"), ("v_proj", "v"), ("out_proj", "proj_out"),
    )  # fmt: skip
    found = {}
    for key, weight in vision.state_dict().items():
        name = key
        for new, old in back:
            name = name.replace(new, old)
        parts = name.split(".")
        if "attn_norms" in parts:
            at = parts.index("attn_norms")
            parts[at : at + 2] = ["attn", parts[at + 1], "norm"]
            name = ".".join(parts)
        flat = weight.ndim == 2 and ".attn" in key and "embedding" not in key
        shape = (*weight.shape, 1, 1) if flat and "norm" not in name else tuple(weight.shape)
        counter = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        found[name] = weight.clone() if counter else value(name, shape)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny random ProgEmu as it lies on a disk."""
    place = tmp_path_factory.mktemp("progemu")
    torch.manual_seed(0)
    config = Emu3TextConfig(vocab_size=CODES + 64, hidden_size=16, intermediate_size=16,
                            num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
                            max_position_embeddings=128)  # fmt: skip
    Emu3ForCausalLM(config).save_pretrained(place)
    told = json.loads((place / "config.json").read_text()) | {"model_type": "Emu3"}
    (place / "config.json").write_text(json.dumps(told))
    text = Tokenizer(models.WordLevel({"*": 9, "2": 8, "Add": 1, "[u]": 0}, unk_token="[u]"))
    text.pre_tokenizer = pre_tokenizers.Whitespace()
    text.save(str(place / "tokenizer.json"))
    (place / "vision").mkdir()
    shape = {model.VISION.get(k, k): v for k, v in SHAPE.items() if k != "model_type"}
    vision = Emu3VQVAE(Emu3VQVAEConfig(**shape, hidden_size=32))
    save_file(published(vision), place / "vision" / "model.safetensors")
    (place / "vision" / "config.json").write_text(json.dumps(SHAPE))
    return place


def run(folder, given=None, **values):
    choice = choose("progemu", {"folder": str(folder), "side": SIDE, **values})
    heard: list[dict] = []
    found = run_method(choice, backbone(), given or task(), config=DEFAULT, seeds=[1, 2],
                       progress=heard.append)  # fmt: skip
    return found, heard


def test_a_prompt_is_the_source_the_words_and_a_beginning() -> None:
    codes = [[0, 1], [2, 3]]
    found = prompt(lambda text: [len(text)], "worse", codes, 2)
    begin = [151852, 3, 151851]
    rows = [151854, 151855, 151846, 151856, 151857, 151846, 151847, 151853]
    assert found == [151849, *begin, *rows, 5, *begin]
    assert prompt(lambda text: [7], "", (), 2) == [151849, 7, 151852, 7, 151851]
    large = prompt(lambda text: [], "", [[0] * 64] * 64, 64)
    assert len(large) == 1 + 2 * 2 + 64 * 65 + 2
    assert codes_of([5, CODES, CODES + 3, 151846], 2) == [0, 3, 3, 3]


def test_what_may_come_is_what_the_published_helper_allows() -> None:
    def kind(ids) -> str:
        names = {151846: "eol", 151847: "eof", 151853: "eoi", 151850: "eos"}
        if len(ids) == 1:
            return names[ids[0]]
        sizes = {32768: "code", 100_000: "text", 100_001: "text+eos"}
        return sizes[len(ids)]

    told = " ".join(kind(allowed(offset, 64, 32768)) for offset in range(1, 4501))
    assert hashlib.sha256(told.encode()).hexdigest() == TOLD["progemu"]["allowed"]


def test_the_image_tokenizer_gives_the_published_one_s_codes_and_pixels(folder) -> None:
    emu = model.load(folder, torch.device("cpu"))
    plane = np.kron(np.random.RandomState(5).random_sample((4, 4)), np.ones((8, 8)))
    x = torch.from_numpy(plane.astype(np.float32))[None, None].expand(1, 3, -1, -1) * 2 - 1
    with torch.no_grad():
        codes = emu.vision.encode(x, torch.tensor([[32, 32]])).image_tokens[0]
        pixels = emu.vision.decode(codes[None]).reshape(-1, 3, 32, 32)[0].mean(0)
    assert codes.flatten().tolist() == TOLD["progemu"]["codes"]
    assert len(set(TOLD["progemu"]["codes"])) > 2
    text = TOLD["results"]["progemu pixels"]
    theirs = torch.tensor(np.frombuffer(base64.b85decode(text), np.float32)).view(8, 8)
    assert torch.allclose(pixels[::4, ::4], theirs, atol=1e-4 * float(theirs.abs().max()))


def test_it_writes_pictures_and_says_what_it_costs(folder) -> None:
    found, heard = run(folder)
    assert found.images.shape == (2, 128, 128)
    assert 0 <= found.images.min() <= found.images.max() <= 1
    assert torch.equal(found.z[0], found.z_src[0])
    assert found.trace["notes"][0].startswith("8 tokens an image, ")
    assert len(found.trace["notes"][1].split()[-1]) == 64
    assert str(folder) not in json.dumps(found.trace)
    (warning,) = [event["warning"] for event in heard if "warning" in event]
    assert "writes 8 tokens an image: about 1 min" in warning["message"]
    assert "warning" in heard[0]  # before anything is read


def test_guidance_words_and_seeds_act_and_the_likeliest_needs_no_seed(folder) -> None:
    greedy = run(folder, top_k=1)[0].images
    assert np.array_equal(greedy[0], greedy[1])
    drawn = run(folder)[0].images
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn, run(folder)[0].images)
    assert not np.array_equal(drawn, run(folder, guidance=30.0)[0].images)
    assert not np.array_equal(drawn, run(folder, sham_task(task()))[0].images)
    ordered = replace(task(), instruction="Add")
    assert not np.array_equal(drawn, run(folder, ordered)[0].images)


def test_it_is_refused_before_weights_are_read(folder, tmp_path, monkeypatch) -> None:
    with pytest.raises(ComponentMissing, match="needs a folder with ProgEmu's weights"):
        run(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BadRequest, match="are pickled"):
        run(tmp_path)
    monkeypatch.setattr(model, "free_bytes", lambda device: 1000.0)
    with pytest.raises(ResourceExhausted, match=r"need 0\.0 GB; 0\.0 GB are free"):
        run(folder)
