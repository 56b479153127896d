# SPDX-License-Identifier: Apache-2.0
"""The digests of models as workers find them, into ``run.json``; others than before are refused."""

from collections.abc import Mapping

from monai_cxr_cf.batch.store.lease import alone
from monai_cxr_cf.batch.store.run_folder import RunFolder, with_weights

LEASE = "plan"


class Learner:
    """Called with model -> digest; BadRequest if a model has other weights than before."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._known = folder, dict(folder.read().weights)

    def __call__(self, weights: Mapping[str, str]) -> None:
        if any(self._known.get(model) != digest for model, digest in weights.items()):
            with alone(self._folder.leases, LEASE):
                now = with_weights(self._folder.read(), weights)
                self._folder.save(now)
            self._known.update(now.weights)
