# SPDX-License-Identifier: Apache-2.0
"""Which tokens of a prompt carry a finding on a backbone: a census, its tables and pictures."""
