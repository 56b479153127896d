# SPDX-License-Identifier: Apache-2.0
"""Held-out radiographs in, judged edits out: protocol, run, validity rule, table and page.

Read in this order: ``protocol`` (what is asked of which image), ``runner`` (rows.jsonl), ``valid``
(the rule), ``table`` and ``page`` (what a reader gets).
"""
