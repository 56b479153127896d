# SPDX-License-Identifier: Apache-2.0
"""Scores of the attention, their energy (Eq. 8) and the step of the latent along it (Eq. 9)."""
