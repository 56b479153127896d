# SPDX-License-Identifier: Apache-2.0
"""``cxr-cf batch``: its parts, one a module."""
