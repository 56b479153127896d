# SPDX-License-Identifier: Apache-2.0
"""An untrained autoencoder in, the same one as a working linear code out.

A radiograph made four times smaller and enlarged again is closer to itself (31.6 dB at 256 px)
than what a small autoencoder learns from random weights in half an hour. So training starts there:
the residual stream of the encoder carries the cosine transform of 8x8 blocks to the latents, that
of the decoder interpolates them back, every residual branch begins at zero, and what is left to
learn is what interpolation misses. Latents start as the 64 px picture, two by two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import idctn
from torch import Tensor, nn
from torch.nn import functional as F

Images = NDArray[np.uint8]
# Channels of constant value fix the scale of a group norm, so that it lets signals pass unchanged.
CONSTANT = 4.0
PER_GROUP = 3  # cosine patterns in each group of the encoder's last norm, as +x and -x
CARRIED = 5  # channels of the decoder's stream: the picture so far, and the four latents
SAMPLE = 64  # radiographs that fit the small linear maps


@torch.no_grad()
def linear_start(model: AutoencoderKL, images: Images) -> None:
    """Overwrite the weights of ``model`` in place.

    ``model``: four levels, f8, four latent channels, norm groups of at least 16 channels in the
    widest and 4 in the narrowest level. ``images`` BxSxS: the first 64 are used.
    """
    for name, module in model.named_modules():
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    images = images[:SAMPLE]
    _start_encoder(model, images)
    _start_decoder(model, images)


def cosines(count: int) -> Tensor:
    """The ``count`` lowest cosine patterns of an 8x8 block as filters (count, 8, 8); mean first."""
    pairs = sorted(
        ((i, j) for i in range(8) for j in range(8)), key=lambda p: (p[0] ** 2 + p[1] ** 2, p)
    )
    units = np.zeros((count, 8, 8))
    for number, (row, column) in enumerate(pairs[:count]):
        units[number, row, column] = 1
    return torch.from_numpy(idctn(units, axes=(1, 2), norm="ortho") / 8).float()


def haar(small: Tensor) -> Tensor:
    """(B, 2h, 2w) -> (B, 4, h, w): mean, horizontal, vertical and diagonal difference."""
    a, b = small[:, ::2, ::2], small[:, ::2, 1::2]
    c, d = small[:, 1::2, ::2], small[:, 1::2, 1::2]
    return torch.stack([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], 1) / 4


def fit(x: Tensor, y: Tensor) -> Tensor:
    """The 3x3 convolution (out, in, 3, 3) from x to y, both (B, C, h, w), by least squares."""
    columns = F.unfold(x, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    rows = y.flatten(2).transpose(1, 2).flatten(0, 1).double()
    gram = columns.T @ columns
    gram += 1e-6 * gram.diagonal().mean() * torch.eye(len(gram))
    return torch.linalg.solve(gram, columns.T @ rows).T.reshape(-1, x.shape[1], 3, 3).float()


def _start_encoder(model: AutoencoderKL, images: Images) -> None:
    encoder = model.encoder
    _clear(encoder.conv_in, 0)
    encoder.conv_in.weight[0, :, 1, 1] = 1 / 3
    offsets = [(0, 0)]  # of the pixels that the stream's channels hold: all of a block, in the end
    for level in (0, 1):
        offsets = _split(encoder.down_blocks[level], offsets, 2**level)
    _pass(encoder.down_blocks[2].resnets[0], len(offsets))
    pairs = _transform(encoder, offsets)
    stream = _squares(images)
    for part in (encoder.conv_in, *encoder.down_blocks, encoder.mid_block):
        stream = part(stream)
    norm = encoder.conv_norm_out
    scale = stream.reshape(len(stream), norm.num_groups, -1).std(-1).mean(0)
    for plus, minus in pairs:
        norm.weight[[plus, minus]] = scale[plus * norm.num_groups // norm.num_channels]
    shown = F.silu(norm(stream))  # silu(x) - silu(-x) = x
    signal = torch.stack([shown[:, plus] - shown[:, minus] for plus, minus in pairs], 1)
    kernel = fit(signal, haar(_reduced(images, 4)))
    last = encoder.conv_out
    last.weight.zero_()
    last.bias.zero_()
    last.bias[4:] = -10.0  # log variance: the posterior is a point
    for number, (plus, minus) in enumerate(pairs):
        last.weight[:4, plus], last.weight[:4, minus] = kernel[:, number], -kernel[:, number]
    for conv in (model.quant_conv, model.post_quant_conv):
        conv.weight.copy_(torch.eye(conv.in_channels)[:, :, None, None])
        conv.bias.zero_()


def _split(block: Any, offsets: list[tuple[int, int]], step: int) -> list[tuple[int, int]]:
    """Let a stride-two convolution keep all pixels, as four times the channels."""
    _pass(block.resnets[0], len(offsets))
    conv = block.downsamplers[0].conv
    kept: list[tuple[int, int]] = []
    for channel, (row, column) in enumerate(offsets):
        for down in (0, 1):
            for right in (0, 1):
                _clear(conv, len(kept))
                conv.weight[len(kept), channel, down, right] = 1
                kept.append((row + step * down, column + step * right))
    return kept


def _transform(encoder: Any, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The last halving computes the cosine transform; returns each pattern's +x and -x channel."""
    conv, groups = encoder.down_blocks[2].downsamplers[0].conv, encoder.conv_norm_out.num_groups
    size = conv.out_channels // groups
    pairs = []
    for number, pattern in enumerate(cosines(PER_GROUP * groups)):
        first = number // PER_GROUP * size + 2 * (number % PER_GROUP)
        pairs.append((first, first + 1))
        for channel, sign in ((first, 1), (first + 1, -1)):
            _clear(conv, channel)
            for source, (row, column) in enumerate(offsets):
                taps = pattern[row::4, column::4]
                conv.weight[channel, source, :2, :2] = sign * taps
    for group in range(groups):
        for number in range(4):
            channel = group * size + 2 * PER_GROUP + number
            _clear(conv, channel)
            conv.bias[channel] = CONSTANT * (-1) ** number
    return pairs


def _start_decoder(model: AutoencoderKL, images: Images) -> None:
    decoder = model.decoder
    for channel in range(4):
        _clear(decoder.conv_in, channel)
        decoder.conv_in.weight[channel, channel, 1, 1] = 1
    picture = model.encoder(_squares(images))[:, :4]
    hat = torch.tensor([1.0, 2.0, 1.0])
    hat = hat[:, None] * hat / 16
    for level, factor in enumerate((4, 2, 1)):  # 64, 128 and 256 px
        block = decoder.up_blocks[level]
        _pass(block.resnets[0], CARRIED)
        conv = block.upsamplers[0].conv
        enlarged = F.interpolate(picture, scale_factor=2.0, mode="nearest")
        kernel = fit(enlarged, _reduced(images, factor)[:, None])
        for channel in range(CARRIED):
            _clear(conv, channel)
            if level or channel:  # the latents ride along, interpolated
                conv.weight[channel, channel if level else channel - 1] = hat
        conv.weight[0, : kernel.shape[1]] = kernel[0]
        picture = F.conv2d(enlarged, kernel, padding=1)
    short = decoder.up_blocks[3].resnets[0].conv_shortcut
    short.weight[:4], short.bias[:4] = 0, torch.tensor([0, 0, CONSTANT, -CONSTANT])
    short.weight[0, 0], short.weight[1, 0] = 1, -1
    scale = ((picture.square().mean() + CONSTANT**2) / 2).sqrt()
    decoder.conv_norm_out.weight[:4] = scale
    decoder.conv_out.weight.zero_()
    decoder.conv_out.bias.zero_()
    decoder.conv_out.weight[:, 0, 1, 1], decoder.conv_out.weight[:, 1, 1, 1] = 1, -1


def _clear(conv: Any, channel: int) -> None:
    conv.weight[channel] = 0
    conv.bias[channel] = 0


def _pass(resnet: Any, count: int) -> None:
    """Let a residual block's 1x1 shortcut, where it has one, hand on the first channels."""
    if resnet.conv_shortcut is None:
        return
    for channel in range(count):
        _clear(resnet.conv_shortcut, channel)
        resnet.conv_shortcut.weight[channel, channel] = 1


def _squares(images: Images) -> Tensor:
    batch = torch.from_numpy(images.astype(np.float32) / 127.5 - 1)
    return batch[:, None].expand(-1, 3, -1, -1).contiguous()


def _reduced(images: Images, factor: int) -> Tensor:
    """BxSxS -> BxS/fxS/f in [-1, 1], antialiased."""
    side = images.shape[-1] // factor
    small = [
        np.asarray(
            Image.fromarray(image.astype(np.float32)).resize((side, side), Image.Resampling.LANCZOS)
        )
        for image in images
    ]
    return torch.from_numpy(np.stack(small) / 127.5 - 1).float()
