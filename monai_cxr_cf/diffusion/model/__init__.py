# SPDX-License-Identifier: Apache-2.0
"""The networks of Stable Diffusion v1: loaded, checked, described."""
