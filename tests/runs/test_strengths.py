# SPDX-License-Identifier: Apache-2.0
"""Strength times steps: what is reported is what was run; less than a step is refused."""

import pytest

from monai_cxr_cf.diffusion.model.single_file import SD1_SCHEDULER
from monai_cxr_cf.diffusion.steps import Solver
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.presets import PAPER
from monai_cxr_cf.request import EditRequest

# asked strength, steps -> steps that run, strength that is reported
RUN = [
    (0.0, 5, 0, 0.0),
    (0.2, 5, 1, 0.2),
    (0.25, 5, 1, 0.2),
    (0.39, 5, 1, 0.2),
    (0.4, 5, 2, 0.4),
    (0.58, 50, 29, 0.58),
    (0.7, 4, 2, 0.5),
    (0.7, 20, 14, 0.7),
    (0.7, 2, 1, 0.5),
    (0.85, 20, 17, 0.85),
    (0.05, 20, 1, 0.05),
    (0.099, 20, 1, 0.05),
    (0.999, 10, 9, 0.9),
    (1.0, 1, 1, 1.0),
    (1.0, 50, 50, 1.0),
    (1 / 3, 3, 1, 1 / 3),
    (0.001, 1000, 1, 0.001),
    (0.29, 100, 29, 0.29),
]
BELOW = [  # asked strength, steps, the smallest that is possible
    (0.01, 2, "0.5"),
    (0.05, 5, "0.2"),
    (0.04, 20, "0.05"),
    (0.049, 20, "0.05"),
    (1e-6, 20, "0.05"),
    (1e-12, 50, "0.02"),
    (0.5, 1, "1 "),
    (0.99, 1, "1 "),
    (0.0009, 1000, "0.001"),
]


def asked(strength: float, steps: int, **more: object) -> EditRequest:
    """A request for so many steps at this strength."""
    sampling = {"sampling": {"steps": steps}}
    return EditRequest("x.dcm", prompt="edema", strength=strength, overrides=sampling, **more)


@pytest.mark.parametrize(("strength", "steps", "count", "told"), RUN)
def test_the_settings_in_force_state_the_steps_that_run(
    strength: float, steps: int, count: int, told: float
) -> None:
    config = asked(strength, steps).config()
    solver = Solver(config, SD1_SCHEDULER)
    assert config.start.strength == pytest.approx(told, abs=1e-9)
    assert (solver.n_exec, len(solver.timesteps)) == (count, count)
    assert config.as_run() is config


@pytest.mark.parametrize(("strength", "steps", "least"), BELOW)
def test_less_than_one_step_is_refused_with_what_is_possible(
    strength: float, steps: int, least: str
) -> None:
    with pytest.raises(BadRequest, match="less than one step") as caught:
        asked(strength, steps)
    assert f"from {least}" in str(caught.value.hint)
    with pytest.raises(BadRequest, match="less than one step"):
        Solver(
            PAPER.with_overrides({"start": {"strength": strength}, "sampling": {"steps": steps}}),
            SD1_SCHEDULER,
        )


def test_the_strength_asked_for_stays_in_the_request() -> None:
    assert asked(0.25, 5).as_dict()["strength"] == 0.25
    assert asked(0.25, 5).hash() != asked(0.2, 5).hash()
