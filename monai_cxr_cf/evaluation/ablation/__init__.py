# SPDX-License-Identifier: Apache-2.0
"""Each law taken away: rows, run and table."""
