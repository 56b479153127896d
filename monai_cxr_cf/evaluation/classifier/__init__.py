# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate classifier``: what a judge tells, and what it might tell it from."""
