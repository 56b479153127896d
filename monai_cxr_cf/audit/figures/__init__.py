# SPDX-License-Identifier: Apache-2.0
"""Scores in, effects with intervals, nulls and corrections out; plain numbers, no picture."""
