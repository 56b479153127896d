# SPDX-License-Identifier: Apache-2.0
"""The process that does the jobs, and who watches over it."""
