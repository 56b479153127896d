# SPDX-License-Identifier: Apache-2.0
"""Schedulers as people save them: the training is read, the sampling left aside, others refused."""

import diffusers
import pytest
import torch

from monai_cxr_cf.diffusion.model.schedule import SAMPLERS, noise_schedule
from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER
from monai_cxr_cf.diffusion.steps import Noise, Solver
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PAPER
from tests.diffusion.small import EVERY

TRAINED = {name: SD1_SCHEDULER[name] for name in ("beta_start", "beta_end", "beta_schedule")}
V, ZERO = {"prediction_type": "v_prediction"}, {"rescale_betas_zero_snr": True}
LISTED = torch.linspace(0.00085**0.5, 0.012**0.5, 1000).square().tolist()
# name -> what a saved configuration adds to SD v1's betas; all of it is read
READ = {
    "as saved by SD v1": {},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta sigmas": {"use_beta_sigmas": True},
    "LU lambdas": {"use_lu_lambdas": True, "_class_name": "DPMSolverMultistepScheduler"},
    "karras and exponential at once": {"use_karras_sigmas": True, "use_exponential_sigmas": True},
    "learned range on a network of four channels": {"variance_type": "learned_range"},
    "learned": {"variance_type": "learned"},
    "trailing": {"timestep_spacing": "trailing"},
    "leading with offset": {"timestep_spacing": "leading", "steps_offset": 1},
    "linspace": {"timestep_spacing": "linspace"},
    "another solver's type": {"solver_type": "bh2", "solver_order": 3},
    "logrho": {"solver_type": "logrho", "algorithm_type": "deis"},
    "sigma_min at the end": {"final_sigmas_type": "sigma_min", "euler_at_final": True},
    "clipped lambdas": {"lambda_min_clipped": -5.1},
    "clipped samples": {"clip_sample": True, "clip_sample_range": 0.1},
    "thresholding": {"thresholding": True, "sample_max_value": 0.1},
    "skipped PRK steps": {"skip_prk_steps": True, "_class_name": "PNDMScheduler"},
    "keys of a later release": {"some_new_key": [1, 2], "another": None},
    "a shift that only flow matching uses": {"flow_shift": 3.0, "use_flow_sigmas": False},
    "dynamic shifting left on": {"use_dynamic_shifting": True},
    "v": V,
    "v with zero terminal SNR": {**V, **ZERO},
    "v, zero SNR, trailing, karras": {**V, **ZERO, "timestep_spacing": "trailing",
                                      "use_karras_sigmas": True},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "linear": {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    "listed betas": {"trained_betas": LISTED, "beta_schedule": "own"},
    "two thousand steps": {"num_train_timesteps": 2000},
    "null offset": {"steps_offset": None},
}  # fmt: skip
SOLVERS = {
    "ddim": PAPER,
    "ddim trailing": PAPER.with_overrides({"sampling": {"spacing": "trailing", "steps": 7}}),
    "ddpm": PAPER.with_overrides({"sampling": {"eta_ddim": 1.0, "steps": 20}}),
    "dpm++": EVERY,
    "dpm++ from noise": EVERY.with_overrides({"start": {"kind": "noise", "strength": 1.0}}),
    "dpm++ leading": EVERY.with_overrides({"sampling": {"spacing": "leading", "steps": 33}}),
    "sde-dpm++": EVERY.with_overrides({"start": {"kind": "edit_friendly"}}),
}


def true_prediction(solver: Solver, i: int, z: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """What a network that knows the source says of z at step i."""
    a = torch.as_tensor(solver.alpha_bar(i), dtype=torch.float64)
    noise = (z - a**0.5 * source) / (1 - a) ** 0.5
    if solver.scheduler.config.prediction_type == "epsilon":
        return noise.float()
    return (a**0.5 * noise - (1 - a) ** 0.5 * source).float()


@pytest.mark.parametrize("config", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("saved", READ.values(), ids=READ)
def test_a_network_that_knows_the_source_returns_it(saved: dict, config) -> None:
    """For every scheduler we read and every solver and start we run, noise added or not."""
    solver = Solver(config, {**SD1_SCHEDULER, **saved, "set_alpha_to_one": True})
    source, first, later = (Noise((seed,), (4, 8, 8), "cpu") for seed in (2, 1, 3))
    clean = source.draw()
    z = solver.noised(clean, first.draw(), 0)
    for i in range(solver.n_exec):
        e = true_prediction(solver, i, z, clean)
        z = solver.step(e, i, z, noise=later.draw() if solver.stochastic else None)
    assert torch.allclose(z, clean, atol=5e-3), float((z - clean).abs().max())


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_s_own_file_gives_the_same_schedule(name: str) -> None:
    """Saved by any sampler of diffusers, the betas and the prediction are those of the training."""
    made = getattr(diffusers, name, None)
    try:
        saved = dict(made(**TRAINED, **V).config)
    except (ImportError, AttributeError):  # a sampler that needs another package
        saved = {**TRAINED, **V, "num_train_timesteps": 1000}
    found = noise_schedule({**saved, "_class_name": name})
    assert {**TRAINED, **V, "num_train_timesteps": 1000}.items() <= found.items()
    assert Solver(EVERY, {**saved, "_class_name": name}).alpha_bar(0) == pytest.approx(
        Solver(EVERY, {**SD1_SCHEDULER, **V}).alpha_bar(0), rel=1e-6
    )


# what is saved -> what the refusal says was found
REFUSED = [
    ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "flow-matching"),
    ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "flow-matching"),
    ({"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}, "flow-matching"),
    ({"prediction_type": "flow_prediction"}, "flow-matching"),
    ({"_class_name": "LCMScheduler"}, "it is a LCMScheduler"),
    ({"_class_name": "TCDScheduler"}, "it is a TCDScheduler"),
    ({"_class_name": "EDMEulerScheduler"}, "it is a EDMEulerScheduler"),
    ({"_class_name": "CMStochasticIterativeScheduler"}, "it is a CMStochastic"),
    ({"_class_name": "ScoreSdeVeScheduler"}, "it is a ScoreSdeVe"),
    ({"_class_name": "VQDiffusionScheduler"}, "it is a VQDiffusion"),
    ({"_class_name": 5}, "it is a 5"),
    ({"prediction_type": "sample"}, "it predicts sample"),
    ({"prediction_type": None}, "it predicts None"),
    ({"prediction_type": "velocity"}, "it predicts velocity"),
    ({"timestep_type": "continuous"}, "continuous"),
    ({"beta_schedule": "laplace"}, "its beta_schedule is laplace"),
    ({"beta_schedule": "sigmoid"}, "its beta_schedule is sigmoid"),
    ({"num_train_timesteps": 0}, "0 training steps"),
    ({"num_train_timesteps": "1000"}, "1000 training steps"),
    ({"num_train_timesteps": 1e3}, "1000.0 training steps"),
    ({"beta_start": "0.00085"}, "beta_start or beta_end"),
    ({"beta_end": 1.2}, "beta_start or beta_end"),
    ({"beta_end": float("nan")}, "beta_start or beta_end"),
    ({"trained_betas": [0.1, 0.2]}, "trained_betas are not 1000"),
    ({"trained_betas": [0.1] * 999 + [2.0]}, "trained_betas are not 1000"),
    ({"trained_betas": "betas.npy"}, "trained_betas are not 1000"),
    ({"steps_offset": -1}, "steps_offset is -1"),
    ({"steps_offset": 1000}, "steps_offset is 1000"),
    ({"set_alpha_to_one": "false"}, "neither true nor false"),
    ({"rescale_betas_zero_snr": True}, "pure noise"),
]


@pytest.mark.parametrize(("saved", "words"), REFUSED, ids=[str(row[0])[:50] for row in REFUSED])
def test_another_kind_is_refused_in_one_sentence(saved: dict, words: str) -> None:
    for given in (noise_schedule, lambda config: Solver(EVERY, config)):
        with pytest.raises(BadRequest, match=words) as caught:
            given({**SD1_SCHEDULER, **saved})
        assert "\n" not in caught.value.message


def test_a_file_without_betas_and_without_a_class_is_refused() -> None:
    with pytest.raises(BadRequest, match="states no betas"):
        noise_schedule({"num_train_timesteps": 1000, "shift": 3.0})
