# SPDX-License-Identifier: Apache-2.0
"""One image and a prompt in; organ masks out as the label, and the counterfactual's series UID.

Clients of MONAI Label show every returned picture as a label map, so the counterfactual itself is
written as DICOM to the results folder, for an archive or a viewer to pick up.
"""

import tempfile
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

LABELS = {"right lung": 1, "left lung": 2, "heart": 3}
PROMPT = ""  # none: masks alone


class Counterfactual(InferTask):
    """Calls the package; DICOM only, as NIfTI has lost the header that decides the grey values.

    Args:
        results: folder for counterfactuals, one folder a request.
    """

    def __init__(self, results: Path) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=LABELS,
            dimension=2,
            description="Lungs and heart; with a prompt also a synthetic counterfactual (DICOM)",
            config={"prompt": PROMPT, "preset": ["fast", "default"]},
        )
        self._results = results

    def is_valid(self) -> bool:
        """Whether the shipped weights are there."""
        from monai_cxr_cf.errors import ComponentMissing
        from monai_cxr_cf.weights import models_folder

        try:
            return models_folder().is_dir()
        except ComponentMissing:
            return False

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The label map's file and what the client is told.

        Args:
            request: ``image`` is a DICOM file or folder; ``prompt`` and ``preset`` as in
                ``cxr-cf edit``.
        """
        import SimpleITK as sitk

        from monai_cxr_cf.anatomy.organs import check
        from monai_cxr_cf.dicom.reading.read import read_source
        from monai_cxr_cf.runs.networks import Networks

        networks = Networks()
        radiograph = read_source(request["image"])
        found = networks.segmenter("hybridgnet")(
            radiograph.pixels, radiograph.valid, aspect=radiograph.aspect
        )
        check(found.organs, agreement=found.agreement)
        labels = radiograph.turn.undo(found.organs.labels())  # as the client has the file
        label = sitk.GetImageFromArray(labels[None])
        rows, columns = radiograph.as_stored().spacing.display or (1.0, 1.0)
        label.SetSpacing((columns, rows, 1.0))
        with tempfile.NamedTemporaryFile(suffix=".nrrd", delete=False) as file:
            sitk.WriteImage(label, file.name, useCompression=True)
        params: dict[str, Any] = {"label_names": LABELS}
        if request.get("prompt"):
            params["counterfactual"] = self._edit(request, networks)
        return file.name, params

    def _edit(self, request: dict[str, Any], networks: Any) -> dict[str, Any]:
        """Run the edit; its series UID, verdict and folder name are what the client gets."""
        from monai_cxr_cf import pipeline
        from monai_cxr_cf.request import EditRequest

        preset = request.get("preset") or "fast"
        asked = EditRequest(
            source=request["image"],
            prompt=request["prompt"],
            preset=preset if isinstance(preset, str) else preset[0],
        )
        folder = self._results / asked.hash()[:16]
        folder.parent.mkdir(parents=True, exist_ok=True)
        outcome = pipeline.run(asked, folder, networks=networks, overwrite=True)
        image = next(file for file in outcome.files if file.role == "cf")
        return {
            "series_uid": image.series_uid,
            "verdict": outcome.verdict["words"],
            "folder": folder.name,
            "notice": "SYNTHETIC, research only",
        }
