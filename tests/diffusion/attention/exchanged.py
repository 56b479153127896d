# SPDX-License-Identifier: Apache-2.0
"""The exchange of keys and values done literally: explicit softmax over concatenated K and V."""

import math

import torch

from monai_cxr_cf.diffusion.model.layers import attention_levels


class Literal:
    """Cross-attention to the target's tokens, but for ``taken`` to the source's, one after one."""

    def __init__(self, source, taken):
        self.source, self.taken, self.maps = source, set(taken), None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        def split(x):
            return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        q = split(attn.to_q(hidden_states))
        kept = [k for k in range(77) if k not in self.taken]
        order = kept + sorted(self.taken)
        k, v = (
            torch.cat(
                [
                    split(project(encoder_hidden_states))[:, :, kept],
                    split(project(self.source))[:, :, sorted(self.taken)],
                ],
                dim=2,
            )
            for project in (attn.to_k, attn.to_v)
        )
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
        self.maps = torch.empty_like(weights)
        self.maps[..., order] = weights
        return attn.to_out[0]((weights @ v).transpose(1, 2).flatten(2))


@torch.no_grad()
def literal(unet, z, t, texts, taken, *, level=None):
    """Prediction with the tokens ``taken`` exchanged, and each layer's maps by name."""
    layers = [at for at in attention_levels(unet, tuple(z.shape[-2:])) if at.cross]
    modules, held, made = dict(unet.named_modules()), {}, {}
    for layer in layers:
        held[layer.name] = modules[layer.name].processor
        here = taken if level in (None, layer.level) else ()
        made[layer.name] = Literal(texts.source, here)
        modules[layer.name].set_processor(made[layer.name])
    try:
        e = unet(z, t, encoder_hidden_states=texts.target).sample
    finally:
        for name, processor in held.items():
            modules[name].set_processor(processor)
    return e, {name: processor.maps for name, processor in made.items()}
