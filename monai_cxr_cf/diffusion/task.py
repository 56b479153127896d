# SPDX-License-Identifier: Apache-2.0
"""What one edit asks of the sampler, on the model grid: image, organs, prompts, findings, κ.

Made by the pipeline from the request, the radiograph and the segmentation; read by every part of
``diffusion``. Plain numpy, no torch state. SxS arrays: rows x columns of the square model image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.errors import BadRequest

Plane = NDArray[np.float32]
# What is told while something runs: stage, step, total. The listener may raise to cancel.
Progress = Callable[[Mapping[str, Any]], None]
MODES = ("edit", "removal", "mixed", "sham")  # mixed: some findings come, others go
PROMPT_TOKENS = 77  # of CLIP
MOST_TOKENS = 128  # of any text encoder


@dataclass(frozen=True)
class Words:
    """A text of one finding alone, for an edit of several: its own state acts in its own region."""

    text: str
    tokens: tuple[int, ...]  # K_path: positions in ``text``
    organ_tokens: Mapping[int, str] = field(default_factory=dict)  # K_anat: position -> organ
    special_tokens: tuple[int, ...] = ()  # EOS and PAD positions


@dataclass(frozen=True)
class Finished:
    """Pictures that another program made of the source."""

    images: Plane  # (N, S, S), 0..1, bright = dense
    made_by: str
    digests: tuple[str, ...]  # sha256 of their files


@dataclass(frozen=True)
class Scorer:
    """A classifier that guides an editor: how likely the finding is, with a gradient."""

    name: str
    sha256: str
    probability: Callable[[Any], Any]  # (N, S, S) tensor, 0..1, bright = dense -> (N,)


@dataclass(frozen=True)
class Target:
    """One finding of the request.

    Raises:
        BadRequest: the region is empty, a token position lies outside 0..127, or a finding of the
            negative prompt has a text of its own.
    """

    name: str  # canonical finding
    tokens: tuple[int, ...]  # K_path: positions in the prompt that carries the finding
    region: Plane  # SxS coverage 0..1 of this finding's region
    eta: float | None = None  # gain of Eq. 6 for this finding; None = config.boost.eta
    guidance: float | None = None  # s inside its region; None = config.sampling.guidance_scale
    rms: float | None = None  # of what guidance adds there; None = config.sampling.guidance_rms
    strength: float | None = None  # share of the schedule in which it is guided; None = the run's
    words: Words | None = None  # its own text, in the prompt's stead; None = the task's prompt
    where: str = "prompt"  # "prompt", or "negative" where K_path lies in the negative prompt

    def __post_init__(self) -> None:
        if not np.asarray(self.region).max(initial=0.0) > 0:
            raise BadRequest(
                f"The region of '{self.name}' is empty at model size.",
                hint="Name another side or zone, or draw the region (--roi).",
            )
        if self.where not in ("prompt", "negative"):
            raise BadRequest(f"Target.where is {self.where!r}; expected 'prompt' or 'negative'.")
        if self.words is not None and self.where == "negative":
            raise BadRequest(f"'{self.name}' has a text of its own and one in the negative prompt.")
        own = () if self.words is None else self.words.tokens
        if any(not 0 <= k < MOST_TOKENS for k in (*self.tokens, *own)):
            raise BadRequest(
                f"A word of '{self.name}' lies beyond the {MOST_TOKENS} tokens of the prompt.",
                hint="Shorten the prompt.",
            )


@dataclass(frozen=True)
class EditTask:
    """One image and what should happen to it.

    Raises:
        BadRequest: a plane is not square or not of the image's size, there is no target, or a
            finding has no token although its words should be steered.
    """

    image: Plane  # SxS 0..1, bright = dense
    organs: Mapping[str, Plane]  # right_lung, left_lung, heart -> SxS coverage 0..1
    prompt: str  # y
    targets: tuple[Target, ...]
    kappa: Plane  # SxS composite weight: 1 core, falling in the band, exactly 0 outside
    source_prompt: str = ""
    negative_prompt: str = ""
    instruction: str = ""  # the same as an order, for editors that take one
    organ_tokens: Mapping[int, str] = field(default_factory=dict)  # K_anat: position -> organ
    special_tokens: tuple[int, ...] = ()  # EOS and PAD positions in the prompt
    modifier_tokens: tuple[int, ...] = ()  # words for side, zone and severity in the prompt
    mode: str = "edit"  # one of MODES
    finished: Finished | None = None
    scorer: Scorer | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadRequest(f"Mode is {self.mode!r}.", hint=f"Choose one of: {', '.join(MODES)}.")
        if not self.targets:
            raise BadRequest("There is no finding to edit.")
        shape = np.shape(self.image)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise BadRequest(f"The model image is {shape}; expected a square.")
        for name, plane in self.planes().items():
            if np.shape(plane) != shape:
                raise BadRequest(f"'{name}' is {np.shape(plane)}; the model image is {shape}.")
        for target in self.targets:
            named = target.tokens and (target.words is None or target.words.tokens)
            if not named and self.mode != "sham":
                raise BadRequest(f"No word of the prompt names '{target.name}'.")
        if len(self.texts) not in (0, len(self.targets)):
            raise BadRequest("Some findings have a text of their own and others have none.")

    @property
    def texts(self) -> tuple[Words, ...]:
        """The findings' own texts, one per target; () where the prompt holds for all."""
        return tuple(t.words for t in self.targets if t.words is not None)

    def planes(self) -> dict[str, Any]:
        """Every SxS plane by name, the image left out."""
        regions = {f"region of {t.name}": t.region for t in self.targets}
        return {"kappa": self.kappa, **self.organs, **regions}

    @property
    def side(self) -> int:
        """S in pixels."""
        return int(np.shape(self.image)[0])
