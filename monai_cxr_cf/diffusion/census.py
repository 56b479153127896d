# SPDX-License-Identifier: Apache-2.0
"""Which tokens moved the picture of one run: a look at one step's own passes, no pass more.

In the middle step of the boost window every cross-attention layer is asked what its output would
be if a group of tokens had the source prompt's keys and values, under the laws of that step. The
share of a group is the part of the words' effect on that output that would go. ``attention.census``
measures the same on the prediction, where it costs passes (docs/evaluation.md 9).

Each of several findings reads a text of its own in its own region: that text is looked at there,
and the prompt of all of them in the layers that have no region and read it alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from monai_cxr_cf.diffusion.attention.census import cross_layers, hooked
from monai_cxr_cf.diffusion.attention.control import Control
from monai_cxr_cf.diffusion.attention.exchange import Exchange
from monai_cxr_cf.diffusion.attention.groups import TAIL, tail, token_groups
from monai_cxr_cf.diffusion.attention.processors import projections
from monai_cxr_cf.diffusion.laws.specification import TokenGain
from monai_cxr_cf.diffusion.model.layers import AttentionLayer, Grid
from monai_cxr_cf.diffusion.model.text import end_of, said_in
from monai_cxr_cf.diffusion.prepare import Prepared
from monai_cxr_cf.diffusion.task import PROMPT_TOKENS

Groups = dict[str, tuple[int, ...]]
Json = dict[str, Any]
DIGITS, SIDE = 4, 16
REST = ("modifier", "organ", "other")


@dataclass(frozen=True)
class Text:
    """A text that a branch of the run reads."""

    kind: str  # prompt, negative, or own: of one finding alone
    branch: str
    number: int = -1  # of that finding
    length: int = PROMPT_TOKENS

    @property
    def where(self) -> slice:
        """Its positions among the states of its branch."""
        first = self.length * (self.number + 1)
        return slice(first, first + self.length)

    def states(self, run: Prepared) -> Tensor:
        """Its own states, (1, 77, C)."""
        return run.states[self.branch][:, self.where]

    def about(self, run: Prepared) -> Json:
        """How an entry of the census names it."""
        own = {"finding": run.plan.findings[self.number]} if self.kind == "own" else {}
        return {"prompt": self.kind, **own}


def texts_of(run: Prepared) -> list[Text]:
    """The texts that ask for something: another than the source's."""
    own = (Text("own", "cond", number) for number in range(len(run.task.texts)))
    whole = {"length": run.states["source"].shape[1]}
    every = (*own, Text("prompt", "cond", **whole), Text("negative", "negative", **whole))
    return [text for text in every if not torch.equal(text.states(run), run.states["source"])]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one layer had before it in its last pass: inputs of one image, and the laws on it."""

    attn: Any
    hidden: Tensor  # (1, cells, C)
    context: Tensor  # (1, 77, C)
    gain: TokenGain | None
    omega: Tensor | None


class RunCensus:
    """Looks at the cross-attention of one step, first image; ``entries`` says what was seen.

    It looks at no more than 16 x 16 cells of a layer, evenly spread.

    Attributes:
        step: the executed step that is looked at; None where none is executed.
        flops: what ``entries`` has cost.
    """

    def __init__(self, run: Prepared, control: Control) -> None:
        self.run, self.control = run, control
        steps = run.boost or range(run.solver.n_exec)
        self.step = steps[len(steps) // 2] if steps else None
        self.source = run.states["source"]
        self.groups = {text: groups_of(run, text) for text in texts_of(run)}
        self.open, self.flops = False, 0
        self._seen: dict[tuple[Text, str], Seen] = {}

    def at(self, i: int) -> None:
        """The passes that follow belong to executed step i."""
        self.open = i == self.step

    def see(self, layer: AttentionLayer, attn: Any, hidden: Tensor, context: Tensor) -> None:
        """Keep what a layer has before it; a later pass under the same branch replaces it."""
        texts = [text for text in self.groups if text.branch == self.control.branch]
        if not self.open or not texts:
            return
        cells = _lattice(layer.grid, hidden.device)
        looked = hidden[:1, cells].detach()
        gain, omega = self.control.gain(layer.level), self.control.region(layer.level)
        shares = self.control.shares(layer.level)
        for text in texts:
            if self.control.several and (text.kind == "own") != (shares is not None):
                continue  # this layer does not read it
            weight = omega if shares is None else shares[text.number]
            own = None if gain is None else gain.within(text.where.start, text.length)
            self._seen[text, layer.name] = Seen(
                attn,
                looked,
                context[:1, text.where].detach(),
                None if own is None else replace(own, gain=own.gain[:, cells]),
                None if weight is None else weight[cells],
            )

    @torch.no_grad()
    def entries(self) -> list[Json]:
        """One entry a text that asks for something: share and attention mass of every group."""
        self.flops = 0
        return [
            {**text.about(self.run), "step": self.step, "groups": self._rows(groups, seen)}
            for text, groups in self.groups.items()
            if (seen := [found for key, found in self._seen.items() if key[0] == text])
        ]

    def _rows(self, groups: Groups, seen: list[Seen]) -> list[Json]:
        """Means over the layers."""
        layers = [self._exchange(one) for one in seen]
        rows = []
        for name, at in groups.items():
            shares = [share for layer in layers if (share := layer.share(at)) is not None]
            share = round(sum(shares) / len(shares), DIGITS) if shares else None
            mass = round(sum(layer.mass(at) for layer in layers) / len(layers), DIGITS)
            rows.append({"group": name, "tokens": len(at), "mass": mass, "share": share})
        self.flops += sum(layer.flops for layer in layers)
        return rows

    def _exchange(self, seen: Seen) -> Exchange:
        source = self.source.to(seen.context)
        given = projections(seen.attn, seen.hidden, seen.context, source)
        width, texts = given[0].shape[1] * given[0].shape[-1], 2 * source.numel()
        self.flops += 2 * width * (seen.hidden.numel() + 2 * texts)
        return Exchange(*given, gain=seen.gain, omega=seen.omega)


def _lattice(grid: Grid, device: torch.device) -> Tensor:
    """Row-major numbers of evenly spread cells, at most ``SIDE`` a row and a column."""
    rows, columns = grid
    every = -(-max(grid) // SIDE)
    cells = torch.arange(rows * columns, device=device).view(rows, columns)
    return cells[every // 2 :: every, every // 2 :: every].flatten()


@contextmanager
def looking(run: Prepared, control: Control) -> Iterator[RunCensus]:
    """A census that watches the passes inside; the network is as before on any exit."""
    census = RunCensus(run, control)
    layers = {layer.name: layer for layer in cross_layers(run.backbone.unet, run.z_src)}

    def hook(layer: AttentionLayer) -> Any:
        def see(attn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if census.open:
                hidden = args[0] if args else kwargs["hidden_states"]
                census.see(layer, attn, hidden, kwargs["encoder_hidden_states"])

        return see

    with hooked(run.backbone.unet, {name: hook(layer) for name, layer in layers.items()}):
        yield census


def groups_of(run: Prepared, text: Text) -> Groups:
    """The groups of a text that have tokens; each finding is one, by its label."""
    task, labels = run.task, run.plan.findings
    words, organs, modifiers = task.prompt, task.organ_tokens, task.modifier_tokens
    where = "negative" if text.kind == "negative" else "prompt"
    own = {
        name: target.tokens
        for name, target in zip(labels, task.targets, strict=True)
        if target.where == where
    }
    if text.kind == "own":
        alone = task.texts[text.number]
        words, organs, own = alone.text, alone.organ_tokens, {labels[text.number]: alone.tokens}
        modifiers = said_in(run.backbone, words, task.prompt, modifiers)
    elif text.kind == "negative":  # where its other words lie is not told
        words, organs, modifiers = task.negative_prompt, {}, ()
    found = token_groups(
        eos=end_of(run.backbone, words),
        finding={k for tokens in own.values() for k in tokens},
        organ=organs,
        modifier=modifiers,
        length=text.length,
    )
    rest = {name: found[name] for name in REST}
    return {name: at for name, at in {**own, **rest, TAIL: tail(found)}.items() if at}
