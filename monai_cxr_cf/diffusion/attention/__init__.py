# SPDX-License-Identifier: Apache-2.0
"""Processors that steer and record the attention of a UNet, and how they come and go."""
