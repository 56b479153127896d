# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf train autoencoder``."""
