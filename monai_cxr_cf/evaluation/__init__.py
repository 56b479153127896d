# SPDX-License-Identifier: Apache-2.0
"""Shipped networks and a data folder in, measured figures out."""
