# SPDX-License-Identifier: Apache-2.0
"""What a run costs: calls of the networks counted, FLOPs, memory."""
