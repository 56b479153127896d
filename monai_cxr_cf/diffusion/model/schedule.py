# SPDX-License-Identifier: Apache-2.0
"""A scheduler's saved configuration in, the noise schedule of the network out, or a refusal.

A saved scheduler mixes two things: how the network was trained (betas, what it predicts), which is
read here, and how its last user sampled (solver, spacing, Karras, exponential, beta or LU-lambda
step sizes, thresholds), which is left aside: a preset says how we sample. Another kind of training
(flow matching, distillation to few steps) under the same file name is refused.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from monai_cxr_cf.errors import BadRequest

# diffusers' samplers of one variance-preserving schedule given by its betas.
SAMPLERS = frozenset(
    f"{name}Scheduler"
    for name in (
        "DDIM", "DDIMInverse", "DDIMParallel", "DDPM", "DDPMParallel", "DEISMultistep",
        "DPMSolverMultistep", "DPMSolverMultistepInverse", "DPMSolverSDE", "DPMSolverSinglestep",
        "EulerAncestralDiscrete", "EulerDiscrete", "HeunDiscrete", "KDPM2AncestralDiscrete",
        "KDPM2Discrete", "LMSDiscrete", "PNDM", "SASolver", "UniPCMultistep",
    )
)  # fmt: skip
BETAS = ("beta_start", "beta_end", "beta_schedule", "trained_betas")
CURVES = ("linear", "scaled_linear", "squaredcos_cap_v2")
PREDICTIONS = ("epsilon", "v_prediction")
FLAGS = ("set_alpha_to_one", "rescale_betas_zero_snr", "use_flow_sigmas")
KEPT = (*BETAS, "num_train_timesteps", "prediction_type", "rescale_betas_zero_snr")


def noise_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a solver needs of a saved scheduler: its betas and what the network predicts.

    Raises:
        BadRequest: another kind of model, or values that make no schedule.
    """
    found = next((words for words, wrong in RULES if wrong(config)), None)
    if found is not None:
        raise BadRequest(
            f"The scheduler of this backbone is not one of Stable Diffusion v1: {found(config)}.",
            hint="Expected betas of a diffusion model that predicts epsilon or v.",
        )
    return {name: config[name] for name in KEPT if config.get(name) is not None}


def _flow(config: Mapping[str, Any]) -> bool:
    name, predicted = config.get("_class_name") or "", config.get("prediction_type")
    return "Flow" in str(name) or predicted == "flow_prediction" or _on(config, "use_flow_sigmas")


def _on(config: Mapping[str, Any], name: str) -> bool:
    return bool(config.get(name))


def _steps(config: Mapping[str, Any]) -> Any:
    return config.get("num_train_timesteps", 1000)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _share(value: Any) -> bool:
    """Whether it can be a beta: a number above 0 and below 1."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(number and isfinite(value) and 0 < value < 1)


def _wrong_ends(config: Mapping[str, Any]) -> bool:
    if config.get("trained_betas") is not None:
        return False
    return not all(_share(config.get(name, 0.01)) for name in ("beta_start", "beta_end"))


def _wrong_betas(config: Mapping[str, Any]) -> bool:
    betas = config.get("trained_betas")
    if betas is None:
        return False
    return not (isinstance(betas, list | tuple) and len(betas) == _steps(config)
                and all(map(_share, betas)))  # fmt: skip


# What is said of a wrong configuration, and when; the first that holds is said.
Test = Callable[[Mapping[str, Any]], bool]
RULES: tuple[tuple[Callable[[Mapping[str, Any]], str], Test], ...] = (
    (lambda c: "it belongs to a flow-matching model", _flow),
    (
        lambda c: f"it is a {c['_class_name']}",
        lambda c: c.get("_class_name") is not None and c["_class_name"] not in SAMPLERS,
    ),
    (
        lambda c: f"it predicts {c['prediction_type']}",
        lambda c: c.get("prediction_type", "epsilon") not in PREDICTIONS,
    ),
    (
        lambda c: f"of {', '.join(FLAGS)} one is neither true nor false",
        lambda c: any(not isinstance(c.get(name) or False, bool) for name in FLAGS),
    ),
    (
        lambda c: "its timesteps are continuous",
        lambda c: c.get("timestep_type", "discrete") != "discrete",
    ),
    (
        lambda c: "it states no betas",
        lambda c: c.get("_class_name") is None and all(c.get(name) is None for name in BETAS),
    ),
    (
        lambda c: f"it has {_steps(c)} training steps",
        lambda c: not _whole(_steps(c), 1, 100_000),
    ),
    (
        lambda c: f"its beta_schedule is {c['beta_schedule']}",
        lambda c: c.get("trained_betas") is None and c.get("beta_schedule", "linear") not in CURVES,
    ),
    (lambda c: "its beta_start or beta_end is no number between 0 and 1", _wrong_ends),
    (lambda c: f"its trained_betas are not {_steps(c)} numbers between 0 and 1", _wrong_betas),
    (
        lambda c: f"its steps_offset is {c['steps_offset']}",
        lambda c: not _whole(c.get("steps_offset") or 0, 0, _steps(c) - 1),
    ),
    (
        lambda c: (
            "its last step is pure noise, from which a network that predicts epsilon cannot start"
        ),
        lambda c: (
            _on(c, "rescale_betas_zero_snr") and c.get("prediction_type", "epsilon") == "epsilon"
        ),
    ),
)
