# SPDX-License-Identifier: Apache-2.0
"""What is said to the runner and what it says back: choice, job, events, facts, failures."""
