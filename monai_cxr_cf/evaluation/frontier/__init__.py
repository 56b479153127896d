# SPDX-License-Identifier: Apache-2.0
"""What each law buys: effect inside the region against change outside, along guidance."""
