# SPDX-License-Identifier: Apache-2.0
"""What published editors share: one image's bench, noise levels, inversions, attention, trace."""
