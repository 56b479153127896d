# SPDX-License-Identifier: Apache-2.0
"""The tiny backbone and the edit task of the sampler's tests."""

from tests.diffusion.conftest import task, tiny

__all__ = ["task", "tiny"]
