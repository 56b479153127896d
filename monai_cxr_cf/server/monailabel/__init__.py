# SPDX-License-Identifier: Apache-2.0
"""The routes that MONAI Label clients ask, and what stands behind them."""
