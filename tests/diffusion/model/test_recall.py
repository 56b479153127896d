# SPDX-License-Identifier: Apache-2.0
"""What an inversion, a latent and a text depend on: any change of it is another key."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monai_cxr_cf.diffusion.model import recall as module
from monai_cxr_cf.diffusion.model.recall import arithmetic, digest, identity
from monai_cxr_cf.diffusion.render import render
from monai_cxr_cf.diffusion.sample import sample
from tests.diffusion.conftest import box, make_task
from tests.diffusion.small import EVERY

QUICK = EVERY.with_overrides({"sampling": {"steps": 4}, "start": {"kind": "edit_friendly"}})
FULL = {"text": 2, "latent": 1, "inversion": 2, "reference": 1}


@dataclass(frozen=True)
class Law:
    """Stands for a law of the plan."""

    values: torch.Tensor
    lam: float = 1.0


@dataclass(frozen=True)
class OtherLaw(Law):
    """The same fields under another name."""


class Keeping:
    """A recall that keeps everything and counts what was taken from it."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.taken: Counter[str] = Counter()

    def __call__(self, kind: str, key: str, make: Any) -> Any:
        if key in self.entries:
            self.taken[kind] += 1
        else:
            self.entries[key] = make()
        return self.entries[key]


@pytest.fixture
def backbone(tiny: Any) -> Any:
    """The tiny backbone as if loaded from files, with a recall of its own."""
    return replace(tiny, files={"unet.safetensors": "0" * 64}, recall=Keeping())


def edited(backbone: Any, task: Any, config: Any = QUICK, seeds: tuple[int, ...] = (1,)) -> Any:
    """Latents, decoded images, trace, and how often each kind was recalled."""
    backbone.recall.taken.clear()
    samples = sample(backbone, task, config, seeds=seeds)
    shown = render(backbone, samples, task.image)
    arrays = [samples.z.numpy().tobytes(), shown.edited.tobytes(), shown.reference.tobytes()]
    return arrays, shown.trace, dict(backbone.recall.taken)


def test_a_second_run_recalls_and_gives_the_same_bytes(backbone, task) -> None:
    plain, cold, _ = edited(replace(backbone, recall=Keeping()), task)
    first, _, made = edited(backbone, task)
    again, warm, taken = edited(backbone, task)
    assert plain == first == again
    assert (made, taken) == ({"text": 1}, {**FULL, "text": 3})  # two prompts of three are empty
    cold_resources, resources = cold.pop("resources"), warm.pop("resources")
    assert warm == cold
    assert cold_resources["recalled_f"] == 0
    calls = cold["cost"]["calls"]
    assert (calls["encode"], calls["inversion"], calls["decode"]) == (1, 2, 2)
    f = cold["cost"]["f"]
    assert resources["recalled_f"] == pytest.approx(f["inversion"] + f["vae"] * 2 / 3, rel=0.35)
    assert f["inversion"] < resources["recalled_f"] < f["inversion"] + f["vae"]


def test_without_a_recall_or_without_digests_everything_is_made(backbone, tiny, task) -> None:
    plain = sample(tiny, task, QUICK, seeds=(1,)).z
    keeping = Keeping()
    nameless = replace(tiny, recall=keeping)
    assert torch.equal(sample(nameless, task, QUICK, seeds=(1,)).z, plain)
    assert keeping.entries == {}
    assert torch.equal(sample(backbone, task, QUICK, seeds=(1,)).z, plain)


def organs_moved(task: Any) -> Any:
    return replace(task, organs={**task.organs, "heart": box(40, 104, 40, 90)})


@pytest.mark.parametrize(
    ("overrides", "change", "seeds", "taken"),
    [
        ({}, {"prompt": "severe left pleural effusion"}, (1,), {**FULL}),
        ({"boost": {"eta": 3.0}}, {}, (1,), {**FULL, "text": 3}),
        ({"sampling": {"guidance_scale": 4.0}}, {}, (1,), {**FULL, "text": 3}),
        ({}, {"source_prompt": "normal chest"}, (1,), {"text": 2, "latent": 1, "reference": 1}),
        ({}, {"organs": organs_moved}, (1,), {"text": 3, "latent": 1, "reference": 1}),
        ({}, {}, (2,), {"text": 3, "latent": 1, "reference": 1}),
        ({"sampling": {"steps": 6}}, {}, (1,), {"text": 3, "latent": 1, "reference": 1}),
        ({"start": {"strength": 0.9}}, {}, (1,), {"text": 3, "latent": 1, "reference": 1}),
        ({"gate": {"beta": 2.0}}, {}, (1,), {"text": 3, "latent": 1, "reference": 1}),
        ({"gate": {"mode": "off"}}, {}, (1,), {"text": 3, "latent": 1, "reference": 1}),
        ({}, {"image": lambda t: t.image + np.float32(0.001)}, (1,), {"text": 3}),
    ],
)  # fmt: skip
def test_only_what_a_part_depends_on_makes_it_anew(
    overrides, change, seeds, taken, backbone, task
) -> None:
    edited(backbone, task)
    values = {}
    for name, value in change.items():
        found = value(task) if callable(value) else value
        values[name] = found.organs if name == "organs" else found
    other, config = replace(task, **values), QUICK.with_overrides(overrides)
    warm, _, recalled = edited(backbone, other, config, seeds)
    assert recalled == taken
    assert warm == edited(replace(backbone, recall=Keeping()), other, config, seeds)[0]


def test_a_ddim_inversion_is_recalled_and_another_solver_is_not(backbone, task) -> None:
    ddim = QUICK.with_overrides({"start": {"kind": "ddim"}, "sampling": {"solver": "ddim"}})
    first = edited(backbone, task, ddim)
    assert edited(backbone, task, ddim)[2] == {**FULL, "text": 3}
    assert edited(backbone, task, ddim)[0] == first[0]
    spaced = ddim.with_overrides({"sampling": {"spacing": "leading"}})
    assert "inversion" not in edited(backbone, task, spaced)[2]


def test_several_seeds_are_recalled_as_the_batch_that_they_were(backbone, task) -> None:
    both = edited(backbone, task, seeds=(1, 2))
    assert edited(backbone, task, seeds=(1, 2))[2] == {"text": 3, "latent": 1, "reference": 1,
                                                       "inversion": 4 // 2}  # fmt: skip
    assert "inversion" not in edited(backbone, task, seeds=(1,))[2]
    assert edited(backbone, task, seeds=(1, 2))[0] == both[0]


@pytest.mark.parametrize("field", ["files", "dtype", "device"])
def test_another_weight_precision_or_device_is_another_backbone(field, backbone) -> None:
    other = {"files": {"unet.safetensors": "1" * 64}, "dtype": torch.bfloat16,
             "device": torch.device("meta")}  # fmt: skip
    changed = replace(backbone, **{field: other[field]})
    assert digest(identity(changed)) != digest(identity(backbone))


def test_an_architecture_counts_and_the_folder_it_came_from_does_not(backbone, tiny) -> None:
    before = digest(identity(backbone))
    held = tiny.vae.config
    try:
        tiny.vae.register_to_config(scaling_factor=0.5)
        assert digest(identity(backbone)) != before
    finally:
        tiny.vae.register_to_config(**dict(held))
    tiny.vae.register_to_config(_name_or_path="/somewhere/else")
    assert digest(identity(backbone)) == before


def test_another_number_of_threads_is_another_arithmetic(monkeypatch) -> None:
    before, threads = digest(arithmetic()), torch.get_num_threads()
    assert digest(arithmetic()) == before
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: threads + 1)
    assert digest(arithmetic()) != before


def test_a_digest_tells_types_shapes_and_borders_apart() -> None:
    four = np.arange(4, dtype=np.float32)
    values = [
        *(None, 1, 1.0, True, "1", b"1", (1,), ((1,),), (), [[], []], {}, {1: 2}, {"1": 2}),
        *(four, four.reshape(2, 2), four.astype(np.float64), four[::-1], torch.tensor(four)),
        *(torch.arange(4), torch.tensor(1.0), torch.arange(4).bfloat16(), torch.float32),
        *(Law(torch.ones(2)), Law(torch.ones(2), 0.5), OtherLaw(torch.ones(2)), range(3)),
        *(("ab", "c"), ("a", "bc"), "sequence 0 ", np.array(1.0)),
    ]
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(torch.arange(6).reshape(2, 3).T) == digest(torch.tensor([[0, 3], [1, 4], [2, 5]]))
    with pytest.raises(TypeError, match="of type object"):
        digest((1, object()))


def test_an_edit_of_another_word_shares_all_but_its_text(backbone, tiny, task) -> None:
    edited(backbone, task)
    other = make_task(tiny.tokenizer, prompt="small left pneumothorax", phrase="pneumothorax")
    assert edited(backbone, other)[2] == FULL


def test_other_code_is_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("one = 1\n")
    monkeypatch.setattr(module.monai_cxr_cf, "__file__", str(package / "__init__.py"))
    before = module.code.__wrapped__()
    assert module.code.__wrapped__() == before
    (package / "__init__.py").write_text("one = 2\n")
    assert module.code.__wrapped__() != before
