# SPDX-License-Identifier: Apache-2.0
"""The tiny judge, measured here."""

from tests.judges.conftest import tiny_judge

__all__ = ["tiny_judge"]
