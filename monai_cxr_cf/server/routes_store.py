# SPDX-License-Identifier: Apache-2.0
"""Send the results of a job to the configured DICOM store; off unless it is allowed."""

from fastapi import APIRouter

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
