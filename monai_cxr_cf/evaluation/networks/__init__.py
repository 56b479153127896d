# SPDX-License-Identifier: Apache-2.0
"""Networks that a user brings to measure with: a local folder or a cached hub id."""
