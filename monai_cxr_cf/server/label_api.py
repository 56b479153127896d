# SPDX-License-Identifier: Apache-2.0
"""The MONAI-Label-compatible routes (monai.md 3.2)."""

from fastapi import APIRouter

router = APIRouter(tags=["MONAI Label"])
