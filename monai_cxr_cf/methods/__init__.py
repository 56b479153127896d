# SPDX-License-Identifier: Apache-2.0
"""Ours and its baselines, each a function of backbone, task and configuration."""
