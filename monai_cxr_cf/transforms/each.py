# SPDX-License-Identifier: Apache-2.0
"""A folder's images through one evaluator, one by one: a refused image ends itself, not the run.

``sources.json`` in the output folder says which source each numbered output came from, and what
was refused and why. It is written anew after every image, so a run that stops leaves it true.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.data.dataloader import DataLoader
from monai.data.dataset import Dataset

from monai_cxr_cf.errors import BadRequest, CxrError, UnreadableInput, UnsupportedImage
from monai_cxr_cf.runs.failures import typed
from monai_cxr_cf.transforms.items import Item

LISTING = "sources.json"
# What one image may be refused for; anything else would befall the next one too.
OWN_FAULT = (BadRequest, UnreadableInput, UnsupportedImage)


class Refusals:
    """What an evaluator raised on the current image, instead of ending with it."""

    def __init__(self, evaluator: Any) -> None:
        self.caught: list[BaseException] = []
        evaluator.add_event_handler(Events.EXCEPTION_RAISED, self._keep)

    def _keep(self, _: Any, error: BaseException) -> None:
        self.caught.append(error)

    def take(self) -> CxrError | None:
        """The refusal of the image that was run; None if there was none.

        Raises:
            Exception: what was raised, where that is not the image's own fault.
        """
        if not self.caught:
            return None
        error, self.caught = self.caught[0], []
        ours = first_of_ours(error)
        if not isinstance(ours, OWN_FAULT):
            raise error
        return ours


def run_each(evaluator: Any) -> list[dict[str, str]]:
    """Run every item of the evaluator's dataset by itself; returns what the listing says of each.

    Args:
        evaluator: a MONAI evaluator over items with ``listed``, as ``cases`` makes of a folder.
    """
    dataset, refusals = evaluator.data_loader.dataset, Refusals(evaluator)
    items: Sequence[Item] = dataset.data
    told: list[dict[str, str]] = []
    for item in items:
        one = Dataset(data=[item], transform=dataset.transform)
        evaluator.data_loader = DataLoader(one, batch_size=1, num_workers=0)
        evaluator.state.epoch_length = 1
        evaluator.run()
        told.append(_entry(item, refusals.take()))
        write_listing(Path(item["output"]).parent, told)
    return told


def first_of_ours(error: BaseException | None) -> CxrError | None:
    """The first error on the way to the cause that is ours, or that the command line names."""
    while error is not None:
        known = typed(error)
        # MONAI says "module not found", without a name, of a wrong _target_.
        if type(known) is not CxrError and getattr(error, "name", "") is not None:
            return known
        error = error.__cause__
    return None


def _entry(item: Item, refusal: CxrError | None) -> dict[str, str]:
    entry = {"output": Path(item["output"]).name, "source": item["listed"], "state": "done"}
    return entry if refusal is None else {**entry, "state": "refused", **refusal.as_dict()}


def write_listing(out: Path, told: Sequence[dict[str, str]]) -> None:
    """``sources.json`` of these images, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    part = out / f".{LISTING}.part"
    part.write_text(json.dumps({"images": list(told)}, indent=2) + "\n", encoding="utf-8")
    os.replace(part, out / LISTING)
