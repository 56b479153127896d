# SPDX-License-Identifier: Apache-2.0
"""Settings of methods that follow an order, or a classifier, with the published values."""

from dataclasses import dataclass

from monai_cxr_cf.catalogue.settings import CFG, STEPS, Published, Settings
from monai_cxr_cf.dials import dial


@dataclass(frozen=True)
class Instruct(Settings):
    """InstructPix2Pix: an instruction and the image itself as conditions."""

    steps: int = dial(100, "scheduler steps", span=STEPS)
    guidance: float = dial(7.5, "guidance by the instruction", span=CFG)
    image_guidance: float = dial(1.5, "guidance by the image", span=CFG)
    instruction: str = dial("", "what to do, instead of words made from the findings")


@dataclass(frozen=True)
class BiomedJourney(Instruct):
    """The same, with the weights of BiomedJourney."""

    weights: str = dial("", "sha256 of the UNet's file, or its first 8 digits or more: says whose")


@dataclass(frozen=True)
class InstructX2X(Published):
    """InstructPix2Pix in a region that the instruction shows by itself."""

    steps: int = dial(100, "scheduler steps", span=STEPS)
    guidance: float = dial(7.5, "guidance by the instruction", span=CFG)
    image_guidance: float = dial(1.5, "guidance by the image; its editor class has 1", span=CFG)
    instruction: str = dial("", "what to do, instead of words made from the findings")
    level: int = dial(800, "timestep at which the instruction is tried", span=(0, 999))
    threshold: float = dial(0.1, "response times prior that counts", span=(0, 1))
    prior: str = dial("region", "where it may act", choices=("region", "image"))


@dataclass(frozen=True)
class LatentShift(Published):
    """A classifier's gradient in the autoencoder's latent, no diffusion."""

    judge: str = dial("j1", "whose probability is moved; not the one that judges", choices=("j1",))
    change: float = dial(0.15, "change of the probability that is enough", span=(0.01, 1))
    furthest: float = dial(1000.0, "longest shift along the gradient", span=(1, 100_000))

    @property
    def shifts(self) -> list[float]:
        """Lengths that are tried, in their order: by 1 up to 10, then by 10."""
        found = [1.0]
        while found[-1] < self.furthest:
            found.append(found[-1] + (1 if found[-1] < 10 else 10))
        return found


@dataclass(frozen=True)
class ProgEmu(Settings):
    """A language model that writes the next radiograph."""

    folder: str = dial("", "ProgEmu's weights: config.json, tokenizer.json, safetensors, vision/")
    guidance: float = dial(1.0, "guidance by source and words; the published command has none",
                           span=CFG)  # fmt: skip
    top_k: int = dial(2048, "likeliest codes that are drawn from; 1 draws nothing", span=(1, 32768))
    side: int = dial(512, "px of the picture that it sees and writes", span=(16, 1024))
