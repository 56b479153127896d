# SPDX-License-Identifier: Apache-2.0
"""What the token groups of a prompt do to a prediction: attention mass, and effect by exchange.

A group is exchanged where its keys and values come from another prompt, at the same positions. Both
are made of the text states of their own position alone, so the states are what is exchanged: for
the whole network, or by hooks in the layers of one level. No law acts; any UNet of diffusers will
do. ``evaluation.attention`` averages what is measured here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.attention.groups import GROUPS, MEASURED, TAIL, Groups, tail
from monai_cxr_cf.diffusion.attention.processors import projections
from monai_cxr_cf.diffusion.laws.cross_attention import token_columns
from monai_cxr_cf.diffusion.model.layers import AttentionLayer, attention_levels

CARRIES = 0.5  # share of the effect from which a finding's own words are said to carry it
CARRIERS = ("finding", "finding+eos")
BATCH, LARGE = 8, 100_000_000  # passes at once; parameters from which they run one by one
TINY = 1e-30
Table = dict[str, float]
Ratios = dict[str, float | None]
Key = tuple[str, str, int | None]  # what stays, group, level
SOURCE: Key = ("source", "", None)


@dataclass(frozen=True)
class Prompts:
    """Two texts on one network: text states (1, 77, C), and the groups of the target's tokens."""

    target: Tensor
    source: Tensor
    groups: Groups

    def measured(self) -> dict[str, tuple[int, ...]]:
        """Every group that has tokens, and end and padding together."""
        every = {**self.groups, TAIL: tail(self.groups)}
        return {name: every[name] for name in MEASURED if every[name]}

    def exchanged(self, positions: Sequence[int]) -> Tensor:
        """The target's states, but the source's at these positions."""
        return _exchanged(self.target, self.source, positions)

    def alone(self, positions: Sequence[int]) -> Tensor:
        """The source's states, but the target's at these positions."""
        return _exchanged(self.source, self.target, positions)

    def alike(self, positions: Sequence[int]) -> bool:
        """Whether both texts have the same states at these positions, so that nothing can change.

        So it is with the start token of a causal text encoder.
        """
        where = list(positions)
        return torch.equal(self.target[:, where], self.source[:, where])


@dataclass(frozen=True)
class Census:
    """One latent at one timestep.

    Attributes:
        change: |e_target - e_source| / |e_target|: what the words do at all.
        mass: level -> group -> share of the target's cross-attention; sums to 1 over ``GROUPS``.
        without: group -> |e_target - e_exchanged| / |e_target - e_source|: the effect that goes
            where the group is exchanged.
        alone: group -> |e_kept - e_source| / |e_target - e_source|: the effect that stays where
            all others are.
        without_at: level -> group -> the first, exchanged on that level only.

    Ratios are None where the texts make no difference.
    """

    change: float
    mass: dict[int, Table]
    without: Ratios = field(default_factory=dict)
    alone: Ratios = field(default_factory=dict)
    without_at: dict[int, Ratios] = field(default_factory=dict)


def cross_layers(unet: Any, z: Tensor) -> tuple[AttentionLayer, ...]:
    """The cross-attention layers of a latent's size, mid block included."""
    return tuple(
        layer for layer in attention_levels(unet, (z.shape[-2], z.shape[-1])) if layer.cross
    )


@torch.no_grad()
def measure(unet: Any, z: Tensor, t: int, texts: Prompts) -> Census:
    """The census of a latent z (1, 4, h, w) at timestep t.

    It takes two passes of the UNet, and for each group whose states differ two and one a level.
    """
    layers, groups = cross_layers(unet, z), texts.measured()
    with attention_maps(unet, layers) as maps:
        target = unet(z.to(unet.dtype), t, encoder_hidden_states=texts.target).sample.float()
    levels = sorted({layer.level for layer in layers})
    live = [name for name, where in groups.items() if not texts.alike(where)]
    items = {key: _states(texts, key, levels) for key in _exchanges(live, levels)}
    found = dict(zip(items, _predictions(unet, z, t, layers, list(items.values())), strict=True))
    source = found[SOURCE]
    total = float((target - source).norm())

    def table(kind: str, at: int | None, base: Tensor) -> Ratios:
        still: Ratios = dict.fromkeys(groups, 0.0 if total else None)
        moved = {name: float((base - found[kind, name, at]).norm()) for name in live}
        return still | {name: size / total for name, size in moved.items() if total}

    return Census(
        change=total / max(float(target.norm()), TINY),
        mass=_mass(maps, layers, texts.groups),
        without=table("without", None, target),
        alone=table("alone", None, source),
        without_at={at: table("without", at, target) for at in levels},
    )


def _exchanges(live: Sequence[str], levels: Sequence[int]) -> list[Key]:
    """What is predicted besides the target, each by (what stays, group, level or None for all)."""
    whole: list[Key] = [(kind, name, None) for name in live for kind in ("without", "alone")]
    return [SOURCE, *whole, *(("without", name, at) for at in levels for name in live)]


def _states(texts: Prompts, key: Key, levels: Sequence[int]) -> dict[int, Tensor]:
    """Level -> the text states that its layers read."""
    kind, name, at = key
    if key == SOURCE:
        return dict.fromkeys(levels, texts.source)
    where = texts.measured()[name]
    mixed = texts.alone(where) if kind == "alone" else texts.exchanged(where)
    return dict.fromkeys(levels, mixed) if at is None else {
        **dict.fromkeys(levels, texts.target), at: mixed
    }  # fmt: skip


def carrier_of(without: Mapping[str, float | None]) -> str:
    """Which positions carry a finding, from the effect that goes with the words of each finding.

    ``finding`` where exchanging a finding's own words takes half of the effect or more, for every
    finding; else ``finding+eos``: its words, the end token and the padding. A finding without a
    figure does not count; without any the answer is ``finding+eos``, as a causal text encoder has
    it.

    Args:
        without: finding -> ``Census.without["finding"]``, a mean.
    """
    known = [share for share in without.values() if share is not None]
    return CARRIERS[0] if known and min(known) >= CARRIES else CARRIERS[1]


@contextmanager
def attention_maps(unet: Any, layers: Sequence[AttentionLayer]) -> Iterator[dict[str, Tensor]]:
    """What each layer's cross-attention looks like in the calls inside: name -> (B, N, 77).

    Mean over heads, rows sum to 1; the last call counts. Outputs keep every bit.
    """
    found: dict[str, Tensor] = {}

    def watch(name: str) -> Any:
        def look(attn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            q, k, _ = projections(attn, hidden, kwargs["encoder_hidden_states"])
            found[name] = token_columns(q, k, tuple(range(k.shape[-2]))).mean(1)

        return look

    with hooked(unet, {layer.name: watch(layer.name) for layer in layers}):
        yield found


@contextmanager
def contexts(unet: Any, given: Mapping[str, Tensor]) -> Iterator[None]:
    """Layers read these states (B, 77, C) instead of those of the call."""

    def give(states: Tensor) -> Any:
        def change(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return args, {**kwargs, "encoder_hidden_states": states}

        return change

    with hooked(unet, {name: give(states) for name, states in given.items()}):
        yield


@contextmanager
def hooked(unet: Any, hooks: Mapping[str, Any]) -> Iterator[None]:
    """Hooks before the modules of these names; gone on any exit."""
    modules = dict(unet.named_modules())
    held = [modules[n].register_forward_pre_hook(h, with_kwargs=True) for n, h in hooks.items()]
    try:
        yield
    finally:
        for handle in held:
            handle.remove()


def _exchanged(states: Tensor, others: Tensor, positions: Sequence[int]) -> Tensor:
    mixed, where = states.clone(), list(positions)
    mixed[:, where] = others[:, where]
    return mixed


def _predictions(
    unet: Any,
    z: Tensor,
    t: int,
    layers: Sequence[AttentionLayer],
    items: Sequence[Mapping[int, Tensor]],
) -> list[Tensor]:
    """Predictions (4, h, w) of z under each item, level -> states; several in one pass."""
    size = sum(weight.numel() for weight in unet.parameters())
    width, found = 1 if size >= LARGE else BATCH, list[Tensor]()
    for start in range(0, len(items), width):
        part = items[start : start + width]
        at = {level: torch.cat([item[level] for item in part]) for level in part[0]}
        with contexts(unet, {layer.name: at[layer.level] for layer in layers}):
            many = z.to(unet.dtype).expand(len(part), -1, -1, -1)
            found += unet(many, t, encoder_hidden_states=next(iter(at.values()))).sample.float()
    return found


def _mass(
    maps: Mapping[str, Tensor], layers: Sequence[AttentionLayer], groups: Groups
) -> dict[int, Table]:
    """Level -> group -> share of attention, mean over cells and layers."""
    found: dict[int, Table] = {}
    for at in sorted({layer.level for layer in layers}):
        own = [maps[layer.name].mean((0, 1)) for layer in layers if layer.level == at]
        mean = torch.stack(own).mean(0)
        found[at] = {name: float(mean[list(groups[name])].sum()) for name in GROUPS}
    return found
