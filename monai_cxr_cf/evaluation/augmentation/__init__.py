# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate augmentation``: what counterfactuals are worth to a classifier's training."""
