# SPDX-License-Identifier: Apache-2.0
"""What an audit found: audit.json for programs, rows.csv for tables, index.html to read."""
