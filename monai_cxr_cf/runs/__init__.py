# SPDX-License-Identifier: Apache-2.0
"""What every door shares: a run, its record, its outputs, its failures, its progress."""
