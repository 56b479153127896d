# SPDX-License-Identifier: Apache-2.0
"""What holds for every published editor: cost, seeds, refusals, a valid trace, no trace left."""

import jsonschema
import pytest
import torch

from monai_cxr_cf.catalogue.row import CHANNELS, Unit
from monai_cxr_cf.catalogue.table import TABLE, choose
from monai_cxr_cf.diffusion.cost.meter import ratios
from monai_cxr_cf.diffusion.trace import schema
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.methods.registry import BY_PRESET, EDITORS, run_method
from monai_cxr_cf.presets import DEFAULT
from tests.methods.quick import QUICK, backbone, quick, samples, task

NEAR = {"pie": 5e-3}  # a difference of nothing may turn a grey level between rounds
CHAOTIC = ("attend_excite",)  # amplifies rounding; tests/methods/peers holds it, in float64
NO_CHANCE = ("ddim_invert", "masactrl", "latent_shift")
RUNS = [(name, kind) for name in QUICK for kind in TABLE[name].kinds]


def test_every_row_has_its_function_and_every_function_its_row() -> None:
    assert set(TABLE) == {*BY_PRESET, *EDITORS}
    assert {*QUICK, "external", "progemu"} == set(EDITORS)  # which have tests of their own


@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_the_formula_is_what_the_meter_counts(name, kind) -> None:
    found = samples(name, kind=kind)
    r = ratios(backbone(kind))
    unit = Unit(r.encode, r.decode, bool(task(kind).source_prompt), kind, r.backward(""))
    choice = quick(name)
    said = choice.row.cost(choice.settings, unit)
    counted = found.trace["cost"]["f_per_image"] + r.decode
    if choice.row.most is None:
        assert counted == pytest.approx(said)
    else:
        assert said <= counted <= choice.row.most(choice.settings, unit) + 1e-6


@pytest.mark.parametrize(("name", "kind"), [r for r in RUNS if r[0] not in CHAOTIC])
def test_a_seed_alone_gives_what_it_gives_among_others(name, kind) -> None:
    both = samples(name, kind=kind, seeds=(1, 2))
    alone = samples(name, kind=kind, seeds=(2,))
    near = NEAR.get(name, 1e-4) * float(alone.z.abs().max().clamp(min=1))
    assert torch.allclose(both.z[1:], alone.z, rtol=0, atol=near)
    assert torch.allclose(both.z[:1], both.z[1:], atol=1e-2) == (name in NO_CHANCE)


@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_the_trace_follows_its_schema_and_names_method_and_settings(name, kind) -> None:
    before = dict(backbone(kind).unet.attn_processors)
    found = samples(name, kind=kind)
    jsonschema.Draft202012Validator(schema()).validate(found.trace)
    assert found.trace["method"] == name
    assert found.trace["settings"] == quick(name).settings.as_dict()
    assert found.trace["steps_executed"] == len(found.trace["steps"]) > 0
    assert found.z.shape == found.z_src.shape == (1, 4, 16, 16)
    after = backbone(kind).unet.attn_processors
    assert all(after[key] is processor for key, processor in before.items())


@pytest.mark.parametrize(("name", "kind"), [r for r in RUNS if r[0] != "latent_shift"])
def test_the_words_matter(name, kind) -> None:
    said, unsaid = samples(name, kind=kind), samples(name, kind=kind, guidance=1.0)
    assert not torch.allclose(said.z, unsaid.z, atol=1e-2)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("kind", CHANNELS)
def test_a_backbone_of_another_kind_is_refused_in_one_sentence(name, kind) -> None:
    if kind in TABLE[name].kinds:
        assert TABLE[name].refuse(kind, "tiny") is None
        return
    with pytest.raises(BadRequest, match=f"'{name}' edits with a UNet of") as caught:
        run_method(choose(name), backbone(kind), task(kind), config=DEFAULT, seeds=[1])
    assert str(CHANNELS[kind]) in caught.value.message


@pytest.mark.parametrize("name", QUICK)
def test_no_seed_is_refused(name) -> None:
    kind = TABLE[name].kinds[0]
    with pytest.raises(BadRequest, match="no seed"):
        run_method(quick(name), backbone(kind), task(kind), config=DEFAULT, seeds=[])


@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_nothing_is_left_behind_when_a_listener_stops_the_run(name, kind) -> None:
    b, heard = backbone(kind), []
    before = dict(b.unet.attn_processors)

    def stop(event) -> None:
        heard.append(event)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_method(quick(name), b, task(kind), config=DEFAULT, seeds=[1], progress=stop)
    assert all(b.unet.attn_processors[key] is one for key, one in before.items())
    assert not b.unet._forward_pre_hooks
    assert not b.vae.encoder._forward_pre_hooks
