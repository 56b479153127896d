# SPDX-License-Identifier: Apache-2.0
"""Run the latent correction on a small UNet, for the tests of Eq. 9."""

from monai_cxr_cf.diffusion.attention.install import controlled
from monai_cxr_cf.diffusion.correction.correction import Correction
from tests.diffusion.small import ALL_ON, EVERY, latent, plan, states

T = 500


def config(base=EVERY, **correct):
    """Settings that are not stopped by a high score."""
    return base.with_overrides({"correct": {"stop_score": 1.0, **correct}})


def corrected(unet, settings, *, z=None, i=0, n_window=4, task=None, alpha_bar=0.5, steps=1):
    """z and record after ``steps`` calls."""
    z = latent(dtype=unet.dtype) if z is None else z
    text = states(batch=len(z), dtype=unet.dtype)
    with controlled(unet, plan(unet, settings, task)) as control:
        control.set(**(ALL_ON | {"record": False}))
        correction = Correction(unet, control, control.plan)
        for _ in range(steps):
            z, record = correction.step(
                z, T, alpha_bar=alpha_bar, i=i, n_window=n_window, cond_states=text
            )
    return z, record, correction


def gradient(unet, settings, z):
    """-Δz of a raw step of size 1: the gradient itself."""
    raw = settings.with_overrides(
        {"correct": {"norm": "none", "alpha_max": 1.0, "cap": 0.0, "stop_score": 1.0}}
    )
    return z - corrected(unet, raw, z=z)[0]
