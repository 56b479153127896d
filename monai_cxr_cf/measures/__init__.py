# SPDX-License-Identifier: Apache-2.0
"""Figures of masks and pictures that judges, evaluation and training share."""
