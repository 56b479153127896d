# SPDX-License-Identifier: Apache-2.0
"""A square window of the model image that holds the whole edit: cut the task, put results back.

``output.roi_crop`` asks for such a latent window, sampled at native scale. Outside of it κ is 0, so
nothing of the output depends on what is not computed there.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_cxr_cf.diffusion.task import EditTask

REFERENCE_SIDE = 512  # output.roi_crop counts pixels of a 512 px model
MARGIN = 1.25  # the region's extent must fit with a quarter to spare


@dataclass(frozen=True)
class Window:
    """Rows top..top+side and columns left..left+side of an image of side ``full``, in pixels."""

    top: int
    left: int
    side: int
    full: int

    def cut(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """The window of a (..., full, full) array, copied."""
        rows, columns = (
            slice(self.top, self.top + self.side),
            slice(self.left, self.left + self.side),
        )
        return np.ascontiguousarray(plane[..., rows, columns])

    def put(self, piece: NDArray[np.float32], base: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., side, side) laid over a copy of ``base`` (full, full)."""
        whole = np.broadcast_to(base, (*piece.shape[:-2], self.full, self.full)).copy()
        whole[..., self.top : self.top + self.side, self.left : self.left + self.side] = piece
        return whole

    def as_dict(self) -> dict[str, int]:
        """For the trace."""
        return {"top": self.top, "left": self.left, "side": self.side, "full": self.full}


def fit_window(task: EditTask, *, roi_crop: int, multiple: int, factor: int) -> Window | None:
    """The window around the edit, or None if it is off or the edit does not fit.

    Side: ``roi_crop`` x S / 512, floored to a multiple of ``multiple`` (whole cells at every UNet
    level). It fits if the regions' extent x 1.25, and everything with κ > 0, lie inside. The
    corner is a multiple of ``factor`` pixels, so that latent cells keep their places.
    """
    full = task.side
    side = roi_crop * full // REFERENCE_SIDE // multiple * multiple
    if not roi_crop or not 0 < side < full:
        return None
    region = np.max([t.region for t in task.targets], axis=0) > 0
    corner = []
    for axis in (1, 0):
        inner = np.flatnonzero(region.any(axis=axis))
        outer = np.flatnonzero((region | (task.kappa > 0)).any(axis=axis))
        extent = inner[-1] + 1 - inner[0]
        if extent * MARGIN > side or outer[-1] + 1 - outer[0] > side:
            return None
        start = (inner[0] + inner[-1] + 1 - side) / 2
        start = min(max(start, outer[-1] + 1 - side), outer[0])
        start = int(np.clip(start, 0, full - side)) // factor * factor
        if outer[-1] + 1 > start + side:  # rounding down has cut the far edge
            start += factor
        if start > outer[0]:
            return None
        corner.append(start)
    return Window(top=corner[0], left=corner[1], side=side, full=full)


def cut_task(task: EditTask, window: Window) -> EditTask:
    """The same task on the window alone."""
    return replace(
        task,
        image=window.cut(task.image),
        organs={name: window.cut(plane) for name, plane in task.organs.items()},
        targets=tuple(replace(t, region=window.cut(t.region)) for t in task.targets),
        kappa=window.cut(task.kappa),
    )
