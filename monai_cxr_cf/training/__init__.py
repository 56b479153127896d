# SPDX-License-Identifier: Apache-2.0
"""Data folders and recipes in, weights out: resumable training loops, one network a file."""
