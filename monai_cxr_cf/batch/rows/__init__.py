# SPDX-License-Identifier: Apache-2.0
"""From a table to checked rows, in shards."""
