# SPDX-License-Identifier: Apache-2.0
"""Many edits: a manifest in, committed results out; stopped anywhere, it goes on from there.

``rows`` turns a manifest into checked rows and shards, ``store`` is the folder that loses nothing,
``engines`` run ``perform``, the one function of a row.
"""
