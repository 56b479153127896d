# SPDX-License-Identifier: Apache-2.0
"""Where rows are worked on: processes of this machine, or jobs of a cluster."""
