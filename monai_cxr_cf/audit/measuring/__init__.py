# SPDX-License-Identifier: Apache-2.0
"""Pictures and a classifier in, its scores on everything that is asked of them out."""
