# SPDX-License-Identifier: Apache-2.0
"""Jobs: their states, their store and their order."""
