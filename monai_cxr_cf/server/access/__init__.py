# SPDX-License-Identifier: Apache-2.0
"""Who may ask, how much and how often."""
