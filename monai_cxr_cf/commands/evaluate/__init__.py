# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf evaluate`` and, one module each, the evaluations it can do."""
