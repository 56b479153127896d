# SPDX-License-Identifier: Apache-2.0
"""A classifier behind HTTP: an .npy array is posted, JSON with the scores comes back.

POST, ``application/octet-stream``: (N, C, H, W) float32 in the format of NumPy. Answer:
``{"scores": [[...], ...]}``, a row an image in the order of the declared labels, or ``{"scores":
{"Label": [...]}}``. The pixels leave this machine: only for images that may.
"""

import io
import json
import urllib.error
import urllib.request
from typing import Any

import numpy as np

from monai_cxr_cf.errors import RemoteFailure

TIMEOUT_S = 120
MOST = 10_000_000  # bytes of an answer


def endpoint(url: str) -> Any:
    """A function from (N, C, H, W) float32 arrays to scores.

    Raises, when run:
        RemoteFailure: no answer, an error, or something else than scores.
    """

    def run(batch: Any) -> Any:
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(batch, np.float32), allow_pickle=False)
        kinds = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
        request = urllib.request.Request(url, stream.getvalue(), kinds)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.loads(answer.read(MOST))["scores"]
        except urllib.error.HTTPError as error:
            raise _failed(f"answered with status {error.code}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise _failed("gave no JSON with scores") from error
        except OSError as error:
            raise _failed("cannot be reached") from error

    return run


def _failed(what: str) -> RemoteFailure:
    return RemoteFailure(f"The classifier's server {what}.", hint="See docs/audit.md 2.")
