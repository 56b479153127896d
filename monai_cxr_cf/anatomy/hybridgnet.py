# SPDX-License-Identifier: Apache-2.0
"""A 256x256 radiograph in, 120 landmarks and their organs out: the default segmenter.

Written from the HybridGNet papers (arXiv 2106.09832, 2203.10977): a convolutional encoder, a
variational bottleneck and a spectral graph decoder with image-to-graph skips. Layer sizes are
ours; features are looked up by grid sampling, and a short top-down path gives them context.
"""

# No postponed annotations here: TorchScript reads the ones of the classes.

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from monai_cxr_cf.anatomy.polygon import organs_from_landmarks

CONTOURS = (44, 50, 26)  # right lung, left lung, heart
SIDE = 256  # pixels of the input


def halve(counts: tuple[int, ...]) -> tuple[int, ...]:
    """Nodes of each contour after every second one is dropped."""
    return tuple((count + 1) // 2 for count in counts)


def neighbours(counts: tuple[int, ...]) -> Tensor:
    """(2, N) indices of the node before and after each node of closed contours."""
    before, after, base = [], [], 0
    for count in counts:
        index = torch.arange(count)
        before.append(base + (index - 1) % count)
        after.append(base + (index + 1) % count)
        base += count
    return torch.stack([torch.cat(before), torch.cat(after)])


def parents(counts: tuple[int, ...]) -> Tensor:
    """(2, N) coarse nodes whose mean unpools to a node; even nodes name the same one twice."""
    first, second, base = [], [], 0
    for count, half in zip(counts, halve(counts), strict=True):
        index = torch.arange(count)
        first.append(base + index // 2)
        second.append(base + (index + 1) // 2 % half)
        base += half
    return torch.stack([torch.cat(first), torch.cat(second)])


def pair_mean(x: Tensor, pairs: Tensor) -> Tensor:
    """(B, M, C) and (2, N) indices -> (B, N, C): graph unpooling, or minus the scaled Laplacian."""
    return 0.5 * (x.index_select(1, pairs[0]) + x.index_select(1, pairs[1]))


def coarse_nodes(counts: tuple[int, ...]) -> Tensor:
    """Indices (M,) of the nodes that stay when every second one is dropped."""
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return torch.cat([torch.arange(s, s + n, 2) for s, n in zip(starts, counts, strict=True)])


def expected_position(heat: Tensor) -> Tensor:
    """Mean x, y (B, N, 2), fractions, of the softmax over each of (B, N, H, W) score maps.

    The coarsest landmarks start here: unlike a regression from the latent alone, it moves with the
    patient from the first step on, so little data suffices.
    """
    share = torch.softmax(heat.float().flatten(2), 2).view(heat.shape)
    height, width = heat.shape[2], heat.shape[3]
    down = (torch.arange(height, device=heat.device) + 0.5) / height
    across = (torch.arange(width, device=heat.device) + 0.5) / width
    return torch.stack([(share.sum(2) * across).sum(2), (share.sum(3) * down).sum(2)], 2)


class ChebConv(nn.Module):
    """Spectral graph convolution y = sum_k T_k(L~) x W_k, k < K (Chebyshev polynomials).

    On closed contours L~ = 2 L / lambda_max - I (lambda_max = 2) is minus the neighbours' mean.
    """

    pairs: Tensor

    def __init__(self, inputs: int, outputs: int, counts: tuple[int, ...], order: int = 6) -> None:
        super().__init__()
        self.order = order
        self.mix = nn.Linear(inputs * order, outputs)
        self.register_buffer("pairs", neighbours(counts), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, inputs) -> (B, N, outputs)."""
        terms = [x, -pair_mean(x, self.pairs)]
        for _ in range(2, self.order):
            terms.append(-2.0 * pair_mean(terms[-1], self.pairs) - terms[-2])
        y: Tensor = self.mix(torch.cat(terms, -1))
        return y


class Block(nn.Module):
    """Two 3x3 convolutions with a residual path; the first may halve the grid."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H/stride, W/stride)."""
        y = F.relu(self.norm1(self.first(x)))
        return F.relu(self.norm2(self.second(y)) + self.skip(x))


class Merge(nn.Module):
    """Top-down step: up-sampled coarse features plus the encoder's own, one 3x3 convolution."""

    def __init__(self, coarse: int, fine: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(coarse, outputs, 1, bias=False)
        self.side = nn.Conv2d(fine, outputs, 1, bias=False)
        self.mix = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Features at the fine grid: (B, outputs, H, W)."""
        up = F.interpolate(self.down(coarse), scale_factor=2.0, mode="nearest")
        return F.relu(self.norm(self.mix(F.relu(up + self.side(fine)))))


class Refine(nn.Module):
    """Image-to-graph skip: sample two feature maps at the nodes, then move them."""

    def __init__(
        self, nodes: int, maps: tuple[int, int], width: int, counts: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.first = ChebConv(nodes + sum(maps) + 2, width, counts)
        self.norm = nn.LayerNorm(width)
        self.second = ChebConv(width, width, counts)
        self.move = ChebConv(width, 2, counts, 3)
        nn.init.normal_(self.move.mix.weight, std=1e-3)
        nn.init.zeros_(self.move.mix.bias)

    def forward(self, h: Tensor, xy: Tensor, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        """Node features (B, N, nodes) and positions (B, N, 2) -> new features, new positions."""
        # Positions are constants for the look-up, as in the paper's skip: only the move learns.
        at = xy.detach()
        grid = (at * 2.0 - 1.0).unsqueeze(2)
        near = F.grid_sample(fine, grid, padding_mode="border", align_corners=False)
        wide = F.grid_sample(coarse, grid, padding_mode="border", align_corners=False)
        looked = torch.cat([near, wide.to(near.dtype)], 1).squeeze(3).transpose(1, 2)
        y = F.relu(self.norm(self.first(torch.cat([h, looked, at], -1))))
        y = F.relu(self.second(y)) + y
        return y, xy + self.move(y).float()


class HybridGNet(nn.Module):
    """Landmark segmentation of frontal chest radiographs.

    Args:
        width: channels at half resolution; deeper levels are multiples of it.
        latent: size of the variational bottleneck.
    """

    unpool1: Tensor
    unpool2: Tensor

    def __init__(self, width: int = 16, latent: int = 64) -> None:
        super().__init__()
        w = width
        middle = halve(CONTOURS)
        coarse = halve(middle)
        self.stem = nn.Conv2d(1, w, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(w)
        self.down64 = Block(w, 2 * w, 2)
        self.down32 = Block(2 * w, 4 * w, 2)
        self.down16 = Block(4 * w, 8 * w, 2)
        self.down8 = Block(8 * w, 10 * w, 2)
        self.deep = Block(10 * w, 10 * w, 1)
        self.up16 = Merge(10 * w, 8 * w, 6 * w)
        self.up32 = Merge(6 * w, 4 * w, 4 * w)
        self.up64 = Merge(4 * w, 2 * w, 3 * w)
        self.dense = nn.Conv2d(3 * w, 3, 1)  # organ scores at a quarter, for training only
        nn.init.constant_(
            self.dense.get_parameter("bias"), -2.0
        )  # an organ covers about a tenth of the square
        self.squeeze = nn.Conv2d(10 * w, 16, 1)
        self.mean = nn.Linear(16 * 64, latent)
        self.log_variance = nn.Linear(16 * 64, latent)
        # Starts almost deterministic; the divergence term widens it as far as the data allow.
        nn.init.constant_(self.log_variance.bias, -5.0)
        self.spread = nn.Linear(latent, sum(coarse) * 4 * w)
        self.first = ChebConv(4 * w, 4 * w, coarse)
        self.place = ChebConv(4 * w, 2, coarse)
        nn.init.normal_(self.place.mix.weight, std=1e-3)
        nn.init.zeros_(self.place.mix.bias)
        self.spot = nn.Conv2d(4 * w, sum(coarse), 1)
        self.refine1 = Refine(4 * w, (10 * w, 6 * w), 4 * w, coarse)
        self.refine2 = Refine(4 * w, (6 * w, 4 * w), 4 * w, middle)
        self.refine3 = Refine(4 * w, (4 * w, 3 * w), 4 * w, CONTOURS)
        self.refine4 = Refine(4 * w, (3 * w, w), 4 * w, CONTOURS)
        self.register_buffer("unpool1", parents(middle), persistent=False)
        self.register_buffer("unpool2", parents(CONTOURS), persistent=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """(B, 1, 256, 256) of any affine intensity scale -> feature maps, coarsest first."""
        x = x - x.mean((1, 2, 3), keepdim=True)
        x = x / (x.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-4)
        e128 = F.relu(self.norm(self.stem(x)))
        e64 = self.down64(e128)
        e32 = self.down32(e64)
        e16 = self.down16(e32)
        e8 = self.deep(self.down8(e16))
        u16 = self.up16(e8, e16)
        u32 = self.up32(u16, e32)
        return [e8, u16, u32, self.up64(u32, e64), e128]

    def encode(self, deepest: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, latent) of the shape from the coarsest feature map."""
        code = F.adaptive_avg_pool2d(self.squeeze(deepest), 8).flatten(1)
        return self.mean(code), self.log_variance(code).clamp(-8.0, 8.0)

    def decode(self, z: Tensor, maps: list[Tensor]) -> list[Tensor]:
        """Latent (B, latent) and feature maps -> positions of every stage, the last (B, 120, 2)."""
        xy0 = expected_position(self.spot(maps[2]))
        h = F.relu(self.spread(z)).view(xy0.shape[0], xy0.shape[1], -1)
        h = F.relu(self.first(h)) + h
        xy0 = xy0 + self.place(h).float()
        h, xy1 = self.refine1(h, xy0, maps[0], maps[1])
        h = pair_mean(h, self.unpool1)
        h, xy2 = self.refine2(h, pair_mean(xy1, self.unpool1), maps[1], maps[2])
        h = pair_mean(h, self.unpool2)
        h, xy3 = self.refine3(h, pair_mean(xy2, self.unpool2), maps[2], maps[3])
        _, xy4 = self.refine4(h, xy3, maps[3], maps[4])
        return [xy0, xy1, xy2, xy3, xy4]

    @torch.jit.export
    def landmarks(self, x: Tensor) -> Tensor:
        """(B, 1, 256, 256) -> (B, 120, 2): x, y as fractions of the square; mean latent."""
        maps = self.features(x)
        mean, _ = self.encode(maps[0])
        return self.decode(mean, maps)[-1]

    def inspect(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks (B, 120, 2), and organ probabilities (B, 3, 64, 64) of the auxiliary head."""
        maps = self.features(x)
        mean, _ = self.encode(maps[0])
        return self.decode(mean, maps)[-1], torch.sigmoid(self.dense(maps[3]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 256, 256) -> (B, 4, 256, 256) one-hot: rest, right lung, left lung, heart."""
        return organs_from_landmarks(self.landmarks(x), x.shape[2], x.shape[3])
