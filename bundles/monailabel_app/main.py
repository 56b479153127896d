# SPDX-License-Identifier: Apache-2.0
"""A MONAI Label app with one task: organ masks and a counterfactual of a chest radiograph.

``monailabel start_server --app monailabel_app --studies FOLDER``, in an environment with MONAI
Label (its main branch) and monai-cxr-cf. MONAI Label finds the app by its class here.
"""

import sys
from pathlib import Path

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lib.counterfactual import Counterfactual


class MyApp(MONAILabelApp):
    """The app; MONAI Label looks for a subclass of its own class in ``main.py``."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="monai_cxr_cf",
            description="Counterfactual chest radiographs. For research, never for diagnosis.",
            version="0.1.0",
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The one task; ``--conf results DIR`` says where counterfactuals go."""
        results = self.conf.get("results") or str(Path(self.app_dir) / "results")
        return {"cxr_counterfactual": Counterfactual(Path(results))}
