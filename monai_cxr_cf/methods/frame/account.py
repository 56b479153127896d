# SPDX-License-Identifier: Apache-2.0
"""Makes a published editor a method: latents and trace out, whatever happens in between."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from monai_cxr_cf.catalogue.table import Choice
from monai_cxr_cf.diffusion.cost.meter import Meter
from monai_cxr_cf.diffusion.model.backbone import Backbone
from monai_cxr_cf.diffusion.sample import Samples
from monai_cxr_cf.diffusion.task import EditTask, Progress
from monai_cxr_cf.errors import BadRequest, CxrError
from monai_cxr_cf.methods.frame.bench import Bench
from monai_cxr_cf.methods.frame.trace import trace_of
from monai_cxr_cf.presets import EditConfig

Editor = Callable[[Bench, Any], Tensor]


class Method(Protocol):
    """Edit one image once per seed."""

    def __call__(
        self,
        backbone: Backbone,
        task: EditTask,
        config: EditConfig,
        *,
        seeds: Sequence[int],
        progress: Progress | None = None,
    ) -> Samples:
        """Latents and trace; see ``diffusion.sample.sample``."""


def published(editor: Editor, choice: Choice) -> Method:
    """The editor with its settings as a method.

    It raises BadRequest for no seed, a UNet of another kind or a mode that the method has not, and
    CxrError where numbers are left that are none.
    """

    def method(
        backbone: Backbone,
        task: EditTask,
        config: EditConfig,
        *,
        seeds: Sequence[int],
        progress: Progress | None = None,
    ) -> Samples:
        if not seeds:
            raise BadRequest("There is no seed; expected one per image.")
        choice.row.refuse(backbone.kind, backbone.name)
        if not choice.row.removes and task.mode in ("removal", "mixed"):
            raise BadRequest(f"'{choice.row.id}' can add a finding, but not remove one.")
        plain = replace(task, targets=tuple(replace(t, words=None) for t in task.targets))
        meter = Meter(backbone)
        with meter.counting(), torch.no_grad():
            bench = Bench(backbone, plain, seeds=seeds, meter=meter, progress=progress)
            z = editor(bench, choice.settings)
        if not torch.isfinite(z).all():
            raise CxrError(f"'{choice.row.id}' left values that are no numbers.")
        images = bench.images if task.finished is None else task.finished.images
        trace = trace_of(bench, choice, config)
        return Samples(z, bench.z0, bench.seeds, trace, images=images)

    return method
