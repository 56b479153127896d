# SPDX-License-Identifier: Apache-2.0
"""Every dial of the regulated sampler, and its three named settings: paper, default, fast.

An ``EditConfig`` is ten frozen parts; a field carries its meaning, range and source in its
metadata, from which the command line, ``--help`` and the request schema are generated.
Symbols: eta, lambda, beta, mu, alpha and Eq. numbers as in arXiv 2603.04130.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from hashlib import sha256
from math import floor
from typing import Any

from monai_cxr_cf.dials import Levels, checked, dial
from monai_cxr_cf.errors import BadRequest

TINY = 1e-9  # int(0.58 * 50) is 28 and ceil(0.28 * 25) is 8 without it


@dataclass(frozen=True)
class Sampling:
    """Solver, and guidance (CFG): how hard the prompt pulls."""

    solver: str = dial("dpmpp", "multistep DPM++2M or DDIM", choices=("ddim", "dpmpp"))
    steps: int = dial(20, "scheduler steps n over the whole schedule", span=(1, 1000))
    spacing: str = dial("trailing", "where the n timesteps lie", choices=("leading", "trailing"))
    eta_ddim: float = dial(0.0, "DDIM stochasticity; 1 = DDPM", span=(0, 1))
    guidance_scale: float = dial(7.5, "CFG scale s; 1 = no guidance", span=(1, 30))
    guidance_rms: float = dial(
        0.0,
        "root mean square, in the region, of what guidance adds in each step: s follows from it, "
        "at most 30; 0 = s is guidance_scale",
        span=(0, 5),
    )
    cfg_from: float = dial(0.0, "guidance starts at this fraction of executed steps", span=(0, 1))
    cfg_until: float = dial(1.0, "guidance ends at this fraction of executed steps", span=(0, 1))
    guidance_map: str = dial(
        "region",
        "guide the whole picture, or the region alone with the source's prediction around it",
        choices=("uniform", "region"),
    )


@dataclass(frozen=True)
class Start:
    """Where the sampling begins (docs/method.md 2.6)."""

    kind: str = dial(
        "strength",
        "noise = Eq. 2 at full length; strength; ddim or edit_friendly inversion",
        choices=("noise", "strength", "ddim", "edit_friendly"),
    )
    strength: float = dial(
        0.7, "share of the schedule that is run; 0 returns the source", span=(0, 1)
    )


@dataclass(frozen=True)
class Gate:
    """Eq. 5: organ gating of self-attention."""

    mode: str = dial(
        "partition",
        "which organ gating of self-attention is used",
        choices=("off", "keys", "queries", "outer", "partition", "partition_hard", "dense"),
    )
    renorm: bool = dial(True, "renormalise attention rows after gating")
    lam: float = dial(1.0, "blend of gated (1) and plain (0) attention", span=(0, 1))
    beta: float = dial(8.0, "same-organ logit bonus of the soft partition", span=(0, 20))
    bridge: str = dial(
        "auto", "let a region that crosses organs attend everywhere", choices=("auto", "on", "off")
    )
    branches: str = dial("both", "CFG branches that are gated", choices=("both", "cond"))
    levels: Levels = dial((0, 1, 2), "attention resolutions, 0 = finest; the mid block is 3")


@dataclass(frozen=True)
class Anatomy:
    """Cross-attention of organ-name tokens to their organ (docs/method.md 2.3)."""

    strength: float = dial(
        0.0, "lambda: factor 1 - lambda + lambda m_organ on organ tokens", span=(0, 1)
    )


@dataclass(frozen=True)
class Boost:
    """Eq. 6: gain of finding tokens inside the region."""

    eta: float = dial(0.0, "gain of finding tokens, A (1 + eta Omega); 0 = off", span=(0, 20))
    mu: float = dial(0.4, "window: fraction of executed steps", span=(0, 1))
    side: str = dial("early", "which end of the run the window lies at", choices=("early", "late"))
    renorm: bool = dial(False, "renormalise rows after the boost (log-bias form)")


@dataclass(frozen=True)
class Tokens:
    """Which tokens and which prompt act where (docs/method.md 2.3)."""

    regional_prompt: bool = dial(True, "source prompt outside the region, target prompt inside")
    carrier: str = dial(
        "finding",
        "what Eq. 6 to 9 act on: the finding's own words, or the end and padding tokens as well; "
        "auto: as the backbone's census of tokens says, without one finding+eos",
        choices=("finding", "finding+eos", "auto"),
    )
    source: str = dial(
        "opposite",
        "the source's text, if none is given: the opposite of what is asked, or nothing",
        choices=("opposite", "empty"),
    )
    removal: str = dial(
        "healthy",
        "steer a removal towards healthy words, or away from the finding as negative prompt",
        choices=("healthy", "negative"),
    )


@dataclass(frozen=True)
class Energy:
    """Eq. 7-8: share of a finding's attention that lies in the region."""

    levels: str = dial("2", "attention levels scored, e.g. '0,1,2', or 'auto'")
    map: str = dial("raw", "score the raw or the boosted map", choices=("raw", "boosted"))


@dataclass(frozen=True)
class Correct:
    """Eq. 9: latent correction along the energy's gradient, inside the boost window."""

    alpha_max: float = dial(0.0, "first step size, falls to 0; 0 = off", span=(0, 100))
    norm: str = dial(
        "rms", "gradient scale: raw, or divided by RMS or maximum", choices=("none", "rms", "max")
    )
    scale: float = dial(1.0, "factor on alpha", span=(0, 1000))
    truncated: bool = dial(True, "stop the gradient's forward after the last attention it needs")
    stop_score: float = dial(0.8, "no correction once the region score is this high", span=(0, 1))
    cap: float = dial(
        0.3,
        "largest summed displacement, RMS in units of sqrt(1 - alpha_bar); 0 = none",
        span=(0, 100),
    )


@dataclass(frozen=True)
class Keep:
    """What holds the rest of the image during sampling (docs/method.md 2.6)."""

    paste: bool = dial(True, "time-aligned paste of the noised source outside the region")
    band_px: int = dial(12, "free band around the region, pixels at model size", span=(0, 64))


@dataclass(frozen=True)
class Output:
    """How the decoded result becomes the output image (docs/method.md 2.7)."""

    composite: str = dial(
        "residual",
        "native residual composite, or the plain decoder output",
        choices=("residual", "none"),
    )
    bounds: str = dial(
        "patient",
        "within this patient's own greys and not against the finding's way, or no bounds",
        choices=("patient", "none"),
    )
    roi_crop: int = dial(
        0, "sample a window of this side at model size if the region fits; 0 = off", span=(0, 4096)
    )
    tau1: float = dial(0.02, "change below which native texture returns in full", span=(0, 1))
    tau2: float = dial(0.08, "change above which native texture is replaced", span=(0, 1))
    detail: float = dial(
        0.5, "share of the source's own detail that shows through added density", span=(0, 1)
    )


@dataclass(frozen=True)
class EditConfig:
    """The whole configuration of one edit (docs/method.md 2)."""

    sampling: Sampling = Sampling()
    start: Start = Start()
    gate: Gate = Gate()
    anatomy: Anatomy = Anatomy()
    boost: Boost = Boost()
    tokens: Tokens = Tokens()
    energy: Energy = Energy()
    correct: Correct = Correct()
    keep: Keep = Keep()
    output: Output = Output()

    def with_overrides(self, overrides: Mapping[str, Mapping[str, Any]]) -> "EditConfig":
        """A copy with some fields replaced, e.g. ``{"boost": {"eta": 2}}``; BadRequest if wrong."""
        parts: dict[str, Any] = {}
        for name, values in overrides.items():
            part = getattr(self, name, None)
            if not is_dataclass(part) or not isinstance(values, Mapping):
                raise BadRequest(
                    f"Override '{name}' is not a part of the configuration.",
                    hint=f"Parts: {', '.join(f.name for f in fields(self))}.",
                )
            parts[name] = _replaced(part, values)
        return replace(self, **parts)

    def as_run(self) -> "EditConfig":
        """With the strength that is run: whole steps of the schedule; BadRequest below one step."""
        share = n_executed(self.start.strength, self.sampling.steps) / self.sampling.steps
        exact = abs(share - self.start.strength) <= TINY
        return self if exact else replace(self, start=replace(self.start, strength=share))

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Nested plain values, JSON-ready and in declaration order."""
        return {
            part: {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
            for part, values in asdict(self).items()
        }

    def hash(self) -> str:
        """sha256 of the canonical JSON of the configuration."""
        return sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def n_executed(strength: float, steps: int) -> int:
    """n_exec = floor(s0 n + 1e-9); 0 for strength 0, which returns the source.

    Raises:
        BadRequest: a strength above 0 that is less than one step.
    """
    count = floor(strength * steps + TINY)
    if strength > 0 and not count:
        raise BadRequest(
            f"A strength of {strength:g} of {steps} steps is less than one step.",
            hint=f"Possible: 0 (the source), and multiples of 1/{steps} from {1 / steps:.3g} to 1.",
        )
    return count


def _replaced(part: Any, values: Mapping[str, Any]) -> Any:
    return replace(part, **{key: checked(part, key, value) for key, value in values.items()})


PAPER = EditConfig(
    sampling=Sampling(solver="ddim", steps=50, spacing="leading", guidance_map="uniform"),
    start=Start(kind="noise", strength=1.0),
    gate=Gate(mode="keys", renorm=False, bridge="off"),
    boost=Boost(eta=1.5),
    tokens=Tokens(regional_prompt=False, source="empty", removal="negative"),
    energy=Energy(levels="0,1,2", map="boosted"),
    correct=Correct(alpha_max=0.05, norm="none", truncated=False, stop_score=1.0, cap=0.0),
    keep=Keep(paste=False, band_px=0),
    output=Output(composite="none", bounds="none", detail=0.0),
)
DEFAULT = EditConfig()
FAST = replace(  # half the steps, and six of them run
    DEFAULT,
    sampling=replace(DEFAULT.sampling, steps=10),
    start=replace(DEFAULT.start, strength=0.6),
)
PRESETS: dict[str, EditConfig] = {"paper": PAPER, "default": DEFAULT, "fast": FAST}

# One law off at a time (Table 2 and the project's own laws); each switch changes exactly one field.
SWITCHES: dict[str, dict[str, dict[str, Any]]] = {
    "no-gate": {"gate": {"mode": "off"}},
    "no-boost": {"boost": {"eta": 0.0}},
    "no-correction": {"correct": {"alpha_max": 0.0}},
    "no-regional-prompt": {"tokens": {"regional_prompt": False}},
    "no-regional-guidance": {"sampling": {"guidance_map": "uniform"}},
    "no-anatomy": {"anatomy": {"strength": 0.0}},
    "no-paste": {"keep": {"paste": False}},
    "no-composite": {"output": {"composite": "none"}},
    "no-bounds": {"output": {"bounds": "none"}},
    "no-detail": {"output": {"detail": 0.0}},
    "no-crop": {"output": {"roi_crop": 0}},
}


def preset(name: str) -> EditConfig:
    """The named preset; BadRequest lists the known ones."""
    if name not in PRESETS:
        raise BadRequest(f"Unknown preset '{name}'.", hint=f"Choose one of: {', '.join(PRESETS)}.")
    return PRESETS[name]
