# SPDX-License-Identifier: Apache-2.0
"""PyTorch's compiler for the parts of a UNet that no law touches; the attention stays as it is.

Each convolution block and each feed-forward layer is compiled by itself, the first time it runs on
a size. The sums are made in another order then, so an edit differs in its last bits from one that
is not compiled.
"""

import os
import shutil
from typing import Any

import torch

from monai_cxr_cf.errors import ComponentMissing

COMPILERS = ("c++", "g++", "clang++", "cl")


def compile_blocks(unet: Any, *, device: str, backend: str = "inductor") -> Any:
    """The UNet2DConditionModel with its ResnetBlock2D and FeedForward layers compiled, in place.

    ``backend`` is one of ``torch.compile``.

    Raises:
        ComponentMissing: the device is a CPU, for which code is built with a C++ compiler, and
            none is installed.
    """
    from diffusers.models.attention import FeedForward
    from diffusers.models.resnet import ResnetBlock2D

    needed = (os.environ.get("CXX"), *COMPILERS)
    if torch.device(device).type == "cpu" and not any(map(shutil.which, filter(None, needed))):
        raise ComponentMissing(
            "There is no C++ compiler, with which PyTorch compiles for a CPU.",
            hint="Install g++ or clang, or leave --compile out.",
        )
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D | FeedForward):
            # Told apart: else blocks of one kind share a limit of eight shapes, and the rest stay.
            module.compile(dynamic=False, backend=backend, isolate_recompiles=True)
    return unet
