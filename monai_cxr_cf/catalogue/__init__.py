# SPDX-License-Identifier: Apache-2.0
"""Which editing methods there are, with which settings: a table that loads nothing heavy."""
