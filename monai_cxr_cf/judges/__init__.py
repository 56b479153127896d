# SPDX-License-Identifier: Apache-2.0
"""Who judges an edit, apart from what made it: two classifiers and the geometry of the organs."""
