# SPDX-License-Identifier: Apache-2.0
"""Our editors against what other repositories' own code gave on the same tiny model.

``stored.json`` says what was run, at which commit and with which patches.
"""

import base64
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from monai_cxr_cf.catalogue.table import choose
from monai_cxr_cf.diffusion.task import Scorer
from monai_cxr_cf.methods import pie
from monai_cxr_cf.methods.blended import blended
from monai_cxr_cf.methods.ddpm_invert import ddpm_invert
from monai_cxr_cf.methods.frame.align import refinement, replacement
from monai_cxr_cf.methods.frame.blend import Blend
from monai_cxr_cf.methods.instructx2x import instructx2x
from monai_cxr_cf.methods.latent_shift import gradient, latent_shift
from monai_cxr_cf.methods.masactrl import masactrl
from monai_cxr_cf.methods.p2p import p2p
from tests.methods.peers.fixed import (
    SIDE,
    STORED,
    digest,
    draws,
    fixed_backbone,
    fixed_bench,
    fixed_task,
    stored,
)

NEAR = 1e-4
MOVED = 0.05


def near(ours: torch.Tensor, name: str, within: float = NEAR) -> bool:
    """Whether a result is the stored one, and not just the picture it began with."""
    theirs = stored(name)
    assert float((theirs - fixed_bench(fixed_task(), []).z0).abs().max()) > MOVED
    return float((ours - theirs).abs().max()) < within * float(theirs.abs().max().clamp(min=1))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def test_the_tiny_model_is_the_one_that_was_run() -> None:
    told = json.loads(STORED.read_text(encoding="utf-8"))
    assert told["weights"] == digest(), "the tiny model changed, whatever the methods do"
    assert all(len(r["commit"]) == 40 and r["licence"] for r in told["recipes"].values())


@pytest.mark.parametrize(("source", "eta"), [("source", 1.0), ("empty", 1.0), ("source", 0.6)])
def test_ddpm_invert_is_that_of_ddpm_inversion(source, eta) -> None:
    task = fixed_task(**({} if source == "source" else {"source_prompt": ""}))
    values = {"steps": 8, "skip": 2, "eta": eta, "guidance": 5.0, "as_published": True}
    ours = ddpm_invert(fixed_bench(task, draws(8)), choose("ddpm_invert", values).settings)
    assert near(ours, f"ddpm_invert {source} eta {eta:g}")
    repaired = choose("ddpm_invert", {**values, "as_published": False}).settings
    assert not near(ddpm_invert(fixed_bench(task, draws(8)), repaired),
                    f"ddpm_invert {source} eta {eta:g}")  # fmt: skip


def test_a_round_of_pie_is_that_of_its_repository() -> None:
    settings = choose("pie", {"rounds": 1, "steps": 10}).settings
    ours = pie.pie(fixed_bench(fixed_task(), draws(2)), settings)
    assert near(ours, "pie DDIM, posterior mean, one round")
    latent = pie.pie_latent(fixed_bench(fixed_task(), draws(2)), settings)
    assert torch.equal(latent, ours)


def test_pie_as_published_draws_its_posteriors_and_runs_pndm_one_level_off() -> None:
    values = {"rounds": 1, "steps": 10, "as_published": True}
    bench = fixed_bench(fixed_task(), draws(6))
    assert near(pie.pie(bench, choose("pie", values).settings),
                "pie PNDM, posterior drawn, one round")  # fmt: skip
    assert [step["timestep"] for step in bench.steps] == [501, 401, 301, 201, 101, 1]


def test_blended_is_that_of_its_repository() -> None:
    values = {"steps": 8, "as_published": True}
    bench = fixed_bench(fixed_task(), draws(7), steps_offset=0)
    assert near(blended(bench, choose("blended", values).settings), "blended")
    bench = fixed_bench(fixed_task(), draws(1), steps_offset=0)
    assert not near(blended(bench, choose("blended", {"steps": 8}).settings), "blended")


@pytest.mark.parametrize("row", json.loads(STORED.read_text("utf-8"))["alignments"],
                         ids=lambda row: " | ".join(row["pair"]))  # fmt: skip
def test_tokens_are_aligned_as_prompt_to_prompt_does(row) -> None:
    tokenizer = fixed_backbone().tokenizer
    found, alpha = refinement(*(tokenizer(text)["input_ids"] for text in row["pair"]))
    theirs = row["map"] + list(range(len(row["map"]), 77))  # the rest maps to itself
    assert [int(v) for v in found] == theirs
    assert [int(v) for v in alpha] == [v >= 0 for v in theirs]  # as theirs was, too
    if "w" in row:
        w = replacement(tokenizer, *row["pair"], as_published=True)
        theirs = torch.eye(77)
        for a, b, c, d, value in row["w"]:
            theirs[min(a, c) : max(b, d)] = 0
            theirs[a:b, c:d] = value
        assert torch.allclose(w, theirs, atol=1e-6)


def test_ours_reads_the_matching_token_behind_a_replaced_word() -> None:
    tokenizer = fixed_backbone().tokenizer
    words = ("large heart now", "large effusion now")
    source, target = (tokenizer(text)["input_ids"] for text in words)
    ours, theirs = (replacement(tokenizer, *words, as_published=late) for late in (False, True))
    last = len(target) - 2  # the last letter of "now"
    assert source[-2] == target[last]
    assert int(ours[:, last].argmax()) == len(source) - 2
    assert int(theirs[:, last].argmax()) != len(source) - 2


@pytest.mark.parametrize(
    ("mode", "words"),
    [("refine", ("normal heart", "moderate left pleural effusion")),
     ("replace", ("large heart now", "large effusion now"))],
)  # fmt: skip
def test_p2p_is_prompt_to_prompt(mode, words) -> None:
    task = fixed_task(source_prompt=words[0], prompt=words[1])
    source = fixed_task().source_prompt if mode == "refine" else words[0]
    task = replace(task, source_prompt=source)
    values = {"steps": 8, "skip": 2, "guidance": 5.0, "as_published": True}
    ours = p2p(fixed_bench(task, draws(8)), choose("p2p", values).settings)
    # The peer samples the source once more, where ours knows the way: rounding, a step at a time.
    assert near(ours, f"p2p {mode}", within=3 * NEAR)
    apart = p2p(fixed_bench(task, draws(8)), choose("p2p", {**values, "cross": 0.0}).settings)
    assert not near(apart, f"p2p {mode}", within=100 * NEAR)


@pytest.mark.parametrize("masked", [False, True])
def test_masactrl_is_that_of_its_repository(masked) -> None:
    values = {"steps": 8, "start": 3, "masked": masked}
    ours = masactrl(fixed_bench(fixed_task(), []), choose("masactrl", values).settings)
    name = "masactrl masked" if masked else "masactrl"
    assert near(ours, name)
    never = choose("masactrl", {**values, "start": 8}).settings
    assert not near(masactrl(fixed_bench(fixed_task(), []), never), name)


def test_instructx2x_is_that_of_its_repository() -> None:
    values = {"steps": 8, "guidance": 3.0, "instruction": "Add the finding of Effusion"}
    bench = fixed_bench(fixed_task(), draws(2), channels=8)
    late = choose("instructx2x", {**values, "as_published": True}).settings
    assert near(instructx2x(bench, late), "instructx2x")
    assert 0 < bench.own.sum() < (bench.bilinear(bench.task.kappa) > 0).sum()
    bench = fixed_bench(fixed_task(), draws(2), channels=8)
    aligned = instructx2x(bench, choose("instructx2x", values).settings)
    assert not near(aligned, "instructx2x")
    assert torch.equal(torch.where(bench.own > 0, bench.z0, aligned), bench.z0)


def test_the_local_blend_is_that_of_prompt_to_prompt() -> None:
    drawn = np.random.RandomState(11)
    maps = [
        torch.from_numpy((drawn.random_sample((4, 16, 77)) ** 8).astype(np.float32))
        for _ in range(3)
    ]
    blend = Blend(((1, 2), (3,)), (16, 16), 0.9)
    for number, both in enumerate(maps):
        layer = SimpleNamespace(name=f"up_blocks.{number}")
        for mode, own in zip(("source", "target"), both.split(2), strict=True):
            blend.add(mode, layer, own[None])
    source, z = torch.from_numpy(drawn.standard_normal((2, 1, 16, 16)).astype(np.float32)).split(1)
    told = bytes.fromhex(json.loads(STORED.read_text("utf-8"))["results"]["p2p local blend"])
    bits = np.unpackbits(np.frombuffer(told, np.uint8)).reshape(1, 1, 16, 16)
    assert torch.equal(blend(source, z), source + torch.from_numpy(bits) * (z - source))
    assert 0 < blend.mask().mean() < 1


def test_a_frame_of_latent_shift_is_that_of_its_package() -> None:
    told = json.loads(STORED.read_text("utf-8"))["results"]["latent_shift frame"]
    weight = torch.from_numpy(np.random.RandomState(3).standard_normal((SIDE, SIDE))).float()

    def linear(images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid((images * weight).sum((1, 2)) * 0.01)

    bench = fixed_bench(replace(fixed_task(), scorer=Scorer("linear", "0", linear)), [])
    scale = bench.backbone.vae.config.scaling_factor
    p, slope = gradient(bench, bench.task.scorer, bench.z0 / scale)
    frame = bench.backbone.vae.decode(bench.z0 / scale - 20 * slope).sample.mean(1) / 2 + 0.5
    theirs = torch.tensor(np.frombuffer(base64.b85decode(told), np.float32)).view(16, 16)
    assert torch.allclose(frame[0, ::4, ::4], theirs, atol=1e-6)
    values = {"as_published": True, "change": 0.01}
    down = latent_shift(bench, choose("latent_shift", values).settings)
    assert float(linear(bench.backbone.vae.decode(down / scale).sample.mean(1) / 2 + 0.5)) < p
