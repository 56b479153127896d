# SPDX-License-Identifier: Apache-2.0
"""A radiograph in, checked organ masks and the regions that words name out."""
