# SPDX-License-Identifier: Apache-2.0
"""What a radiograph may look like otherwise without another patient: marks and acquisition.

Every shift is a plain function of an array: deterministic, exact, without a model. ``table`` names
them all; ``transforms.shifts`` offers them to MONAI.
"""
