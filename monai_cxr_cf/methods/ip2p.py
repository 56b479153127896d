# SPDX-License-Identifier: Apache-2.0
"""InstructPix2Pix (arXiv 2211.09800): an instruction, and the picture itself as 4 more channels."""

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.orders import BiomedJourney, Instruct, InstructX2X
from monai_cxr_cf.errors import BadRequest, ComponentMissing
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.schedule import ddim


def ip2p(bench: Bench, settings: Instruct) -> Tensor:
    """e = e_u + s_t (e_ti - e_i) + s_i (e_i - e_u), from noise.

    Raises:
        BadRequest: the UNet was widened, but never trained to look at the picture.
    """
    check_trained(bench)
    words = instruction(bench, settings)
    z = bench.noise.draw()
    for level in bench.run(bench.schedule.levels(settings.steps)):
        e = instructed(bench, settings, z, level.t, words)
        z = ddim(z, e, level.a, level.b)
    return z


def biomedjourney(bench: Bench, settings: BiomedJourney) -> Tensor:
    """``ip2p`` on a UNet that the user says is BiomedJourney's.

    Raises:
        ComponentMissing: nobody said so, or another UNet was loaded.
    """
    said, files = settings.weights.lower(), bench.backbone.files
    if len(said) < 8 or not any(digest.startswith(said) for digest in files.values()):
        raise ComponentMissing(
            f"'biomedjourney' needs BiomedJourney's weights; '{bench.backbone.name}' is not said "
            "to have them.",
            hint="They are not published. Whoever has them says so by the sha256 of the UNet's "
            "file: --method-set weights=DIGEST.",
        )
    return ip2p(bench, settings)


def check_trained(bench: Bench) -> None:
    """BadRequest if the stem takes nothing from the channels of the picture."""
    weight = bench.backbone.unet.conv_in.weight
    if not weight[:, bench.z0.shape[1] :].any():
        raise BadRequest(
            f"The UNet of '{bench.backbone.name}' has 8 input channels and ignores the last 4: it "
            "was never trained on instructions.",
            hint="Give one that was.",
        )


def instruction(bench: Bench, settings: Instruct | InstructX2X) -> str:
    """The words; none in a sham, which asks for nothing."""
    task = bench.task
    if task.mode == "sham":
        return ""
    return settings.instruction or task.instruction or task.prompt


def instructed(
    bench: Bench, settings: Instruct | InstructX2X, z: Tensor, t: int, words: str
) -> Tensor:
    """The guided prediction of three calls."""
    e_ti, e_i, e_u = three(bench, z, t, words)
    return e_u + settings.guidance * (e_ti - e_i) + settings.image_guidance * (e_i - e_u)


def three(bench: Bench, z: Tensor, t: int, words: str) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions of order and picture, picture, neither; its latent has no scaling factor."""
    picture = bench.z0 / float(bench.backbone.vae.config.scaling_factor)
    nothing = bench.task.negative_prompt
    e_ti = bench.predict(z, t, words, beside=picture)
    e_i = bench.predict(z, t, nothing, beside=picture)
    e_u = bench.predict(z, t, nothing, beside=torch.zeros_like(picture))
    return e_ti, e_i, e_u
