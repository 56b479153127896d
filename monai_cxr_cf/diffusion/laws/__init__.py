# SPDX-License-Identifier: Apache-2.0
"""The laws that regulate attention, each specified as a function, and the plan of a run."""
