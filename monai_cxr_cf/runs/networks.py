# SPDX-License-Identifier: Apache-2.0
"""The networks a run needs, loaded once and kept: a server edits many images with one set.

What they said of a source is kept as well, for the next edit of it (``remembered``).

Everything that is slow to load goes through here; ``pipeline`` asks for a part by its name.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cxr_cf.calibration import FILE, Calibration, read
from monai_cxr_cf.catalogue.row import Row
from monai_cxr_cf.devices import AUTO, device_of
from monai_cxr_cf.errors import BadRequest
from monai_cxr_cf.weights import models_folder

if TYPE_CHECKING:
    from monai_cxr_cf.anatomy.segment import Segmenter
    from monai_cxr_cf.diffusion.model.backbone import Backbone
    from monai_cxr_cf.judges.classifier import Judge
    from monai_cxr_cf.runs.remembered import Remembered

CACHE_BYTES = 2_000_000_000
CENSUS = "census.json"
VERDICT_JUDGE = "j1"  # J2 is kept for the final table, so that no setting is fitted to it


@dataclass
class Networks:
    """Loaded backbones and segmenters by name.

    Args:
        models: folder of the shipped weights; None = the installed bundle's.
        device: of the backbone: auto, cpu, cuda, cuda:N or mps.
        precision: of its UNet: auto, fp32, bf16 or fp16 (``devices``).
        compiled: compile the blocks of its UNet (``diffusion.model.compiled``).
        cache: folder that keeps what edits of one source share, for other processes as well;
            None keeps it in memory only.
        cache_bytes: bound of that folder.
    """

    models: Path | str | None = None
    device: str = AUTO
    precision: str = AUTO
    compiled: bool = False
    cache: Path | None = None
    cache_bytes: int = CACHE_BYTES
    _loaded: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)
    _memory: "Remembered | None" = field(default=None, repr=False)

    def folder(self) -> Path:
        """The folder of the shipped weights."""
        return models_folder() if self.models is None else Path(self.models)

    @property
    def memory(self) -> "Remembered":
        """What earlier edits left for the next one."""
        from monai_cxr_cf.runs.cache_folder import CacheFolder
        from monai_cxr_cf.runs.remembered import Remembered

        if self._memory is None:
            folder = None if self.cache is None else CacheFolder(self.cache, self.cache_bytes)
            self._memory = Remembered(folder=folder)
        return self._memory

    def segmenter(self, kind: str) -> "Segmenter":
        """The organ segmenter ``hybridgnet`` or ``unet``; ComponentMissing without weights."""
        from monai_cxr_cf.anatomy.segment import load_segmenter

        key = ("segmenter", kind)
        if key not in self._loaded:
            self._loaded[key] = load_segmenter(kind, self.folder())
        part: Segmenter = self._loaded[key]
        return part

    def use_segmenter(self, kind: str, segmenter: "Segmenter") -> None:
        """Take this segmenter from now on, in place of the shipped one of that kind."""
        self._loaded["segmenter", kind] = segmenter

    def backbone(self, spec: str) -> "Backbone":
        """The Stable Diffusion v1 model ``spec`` names: shipped, folder, hub id or one file."""
        from monai_cxr_cf.diffusion.model.backbone import load_backbone

        key = ("backbone", spec)
        if key not in self._loaded:
            place = {"device": device_of(self.device), "precision": self.precision}
            loaded = load_backbone(spec, **place, models=self.folder())
            if self.compiled:
                from monai_cxr_cf.diffusion.model.compiled import compile_blocks

                compile_blocks(loaded.unet, device=str(loaded.device))
                loaded.compiled = True
            loaded.recall = self.memory
            self._loaded[key] = loaded
        part: Backbone = self._loaded[key]
        return part

    def check_kind(self, spec: str, row: Row) -> None:
        """BadRequest if the method cannot run on a backbone; told before weights are read."""
        from monai_cxr_cf.diffusion.model.backbone import kind_of

        loaded = self._loaded.get(("backbone", spec))
        kind = kind_of(spec, models=self.folder()) if loaded is None else loaded.kind
        if kind is not None:
            row.refuse(kind, Path(spec).name)

    def judge(self, name: str) -> "Judge | None":
        """The classifier ``judges/NAME`` of the shipped weights; None if none is shipped.

        A folder that is there but broken is an error, not a missing judge.
        """
        key, folder = ("judge", name), self.folder() / "judges" / name
        if key not in self._loaded and not folder.is_dir():
            return None
        if key not in self._loaded:
            from monai_cxr_cf.judges.classifier import load_judge

            self._loaded[key] = load_judge(folder)
        part: Judge = self._loaded[key]
        return part

    def calibration(self, spec: str) -> Calibration:
        """What the backbone's folder says of the settings of an edit."""
        return read(self._beside(spec, FILE))

    def carrier(self, spec: str) -> str:
        """Which tokens carry a finding on this backbone: ``finding`` or ``finding+eos``.

        ``census.json`` beside the weights says so (docs/evaluation.md 9). Without that file it is
        ``finding+eos``, as every causal text encoder that was measured has it.

        Raises:
            BadRequest: the file was made with other weights, or has no answer.
        """
        from monai_cxr_cf.diffusion.attention.census import CARRIERS, carrier_of

        path = self._beside(spec, CENSUS)
        if path is None:
            return carrier_of({})
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            told = None
        known = isinstance(told, dict) and told.get("carrier") in CARRIERS
        if not known or told.get("files") != dict(self.backbone(spec).files):
            raise BadRequest(
                f"{CENSUS} of the backbone {'is of other weights' if known else 'has no answer'}.",
                hint="Make it anew (cxr-cf evaluate attention --help), or say the carrier: "
                f"{' or '.join(CARRIERS)}.",
            )
        return str(told["carrier"])

    def _beside(self, spec: str, name: str) -> Path | None:
        """A file in the backbone's folder, if there is one."""
        folders = [self.folder() / spec, Path(spec)]
        return next((folder / name for folder in folders if (folder / name).is_file()), None)
