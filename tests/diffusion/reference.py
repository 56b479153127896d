# SPDX-License-Identifier: Apache-2.0
"""Eq. 2 and 4 to 9 of arXiv 2603.04130, line by line, with explicit softmax maps.

Slow, literal and independent of the package: what preset ``paper`` must equal. Every map is
stored, masks are pooled by block means, the gradient goes through the whole network.
"""

import math

import torch


class Settings:
    """The seed's numbers: T steps, η, μ, α_max, guidance scale s."""

    def __init__(self, *, steps=50, eta=1.5, mu=0.4, alpha_max=0.05, guidance=7.5):
        self.steps, self.eta, self.mu = steps, eta, mu
        self.alpha_max, self.guidance = alpha_max, guidance


def pool(mask, side):
    """M ↓q: block means of a square mask."""
    mask = torch.as_tensor(mask).double()
    block = mask.shape[0] // side
    return mask.view(side, block, side, block).mean((1, 3))


def blur(image, sigma):
    """Gaussian of ``sigma`` cells, edge values repeated, cut at 4 sigma."""
    radius = int(4 * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).double() / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for _ in range(2):
        rows = []
        for r in range(len(image)):
            taken = [min(max(r + o, 0), len(image) - 1) for o in range(-radius, radius + 1)]
            rows.append(sum(w * image[t] for w, t in zip(kernel, taken, strict=True)))
        image = torch.stack(rows).T
    return image


def prior(region, side, coarsest):
    """Ω = Normalize(Blur(M_ROI ↓q)), the same physical width at every q."""
    omega = blur(pool(region, side), 0.5 * side / coarsest)
    return omega / omega.max()


class Literal:
    """A processor for every layer: Eq. 4, then Eq. 5 or 6 on the stored map."""

    def __init__(self, world, name):
        self.world, self.cross, self.mid = world, name.endswith("attn2.processor"), "mid" in name

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def split(x):
            return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        q, k, v = (
            split(attn.to_q(hidden_states)),
            split(attn.to_k(context)),
            split(attn.to_v(context)),
        )
        maps = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)  # Eq. 4
        if not self.mid:
            maps = self.world.regulate(maps, self.cross)
        out = (maps @ v).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))


class World:
    """Masks, tokens and state shared by the literal processors."""

    def __init__(self, *, region, organs, tokens, eta, sides):
        union = torch.stack([torch.as_tensor(o) for o in organs]).amax(0)
        self.m = {n * n: pool(union, n).flatten() for n in sides}
        self.omega = {n * n: prior(region, n, min(sides)).flatten() for n in sides}
        self.tokens, self.eta = list(tokens), eta
        self.boosting = False
        self.path = []  # A^path of every layer of the last pass, (B, tokens, N)

    def regulate(self, maps, cross):
        cells = maps.shape[-2]
        if not cross:
            return maps * self.m[cells].to(maps)  # Eq. 5: rows are not renormalised
        if not self.boosting:
            return maps
        omega = self.omega[cells].to(maps)
        maps = maps.clone()
        for k in self.tokens:
            maps[..., k] = maps[..., k] * (1 + self.eta * omega)  # Eq. 6
        self.path.append(maps.mean(1)[..., self.tokens].transpose(1, 2))
        return maps

    def loss(self):
        """Eq. 7 and 8, per batch item."""
        per_layer = []
        for a in self.path:
            omega = self.omega[a.shape[-1]].to(a)
            per_layer.append((a * omega).sum(-1) / a.sum(-1))  # Eq. 7, (B, tokens)
        return 1 - torch.stack(per_layer).mean(0).mean(-1)  # Eq. 8


def install(unet, world):
    """Literal processors in every layer; returns what was there."""
    before = dict(unet.attn_processors)
    unet.set_attn_processor({name: Literal(world, name) for name in before})
    return before


def predict(unet, world, z, t, states, *, boosting):
    """One UNet pass; the world keeps its A^path."""
    world.path, world.boosting = [], boosting
    return unet(z, t, encoder_hidden_states=states.expand(len(z), -1, -1)).sample


def correct(unet, world, z, t, cond, alpha):
    """Eq. 9: ẑ = z - α ∇_z L, gradient through the full network."""
    with torch.enable_grad():
        z = z.detach().requires_grad_(True)
        predict(unet, world, z, t, cond, boosting=True)
        loss = world.loss()
        (gradient,) = torch.autograd.grad(loss.sum(), z)
    return (z - alpha * gradient).detach(), loss.detach()


def leading_timesteps(steps, offset):
    """t_i of DDIM with leading spacing over T = 1000, highest first."""
    ratio = 1000 // steps
    return [i * ratio + offset for i in reversed(range(steps))]


def paper(unet, world, z_orig, noise, states, *, alphas_cumprod, offset, settings):
    """Eq. 2 and 4 to 9, from z_orig to z_0; ``states`` = (conditional, unconditional)."""
    cond, negative = states
    times = leading_timesteps(settings.steps, offset)
    levels = [float(alphas_cumprod[t]) for t in times]
    ratio = 1000 // settings.steps
    after = [
        float(alphas_cumprod[t - ratio]) if t - ratio >= 0 else float(alphas_cumprod[0])
        for t in times
    ]
    n_window = math.ceil(settings.mu * settings.steps - 1e-9)
    a = levels[0]
    z = math.sqrt(a) * z_orig + math.sqrt(1 - a) * noise  # Eq. 2 at the first executed level
    with torch.no_grad():
        for i, t in enumerate(times):
            early = i < n_window
            if early:
                alpha = settings.alpha_max * (1 - i / n_window)
                z, _ = correct(unet, world, z, t, cond, alpha)  # Eq. 9
            e_cond = predict(unet, world, z, t, cond, boosting=early)
            e_negative = predict(unet, world, z, t, negative, boosting=False)
            e = e_negative + settings.guidance * (e_cond - e_negative)
            x0 = (z - math.sqrt(1 - levels[i]) * e) / math.sqrt(levels[i])
            z = math.sqrt(after[i]) * x0 + math.sqrt(1 - after[i]) * e  # Eq. 3: DDIM
    return z
