# SPDX-License-Identifier: Apache-2.0
"""The verbs of ``cxr-cf``, one short module each: ``add`` declares the flags, ``run`` does it.

At module level only the standard library is imported, so that ``--help`` answers at once.
"""
