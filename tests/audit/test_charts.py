# SPDX-License-Identifier: Apache-2.0
"""Bars of an audit's page."""

from monai_cxr_cf.audit.report.charts import shares


def test_an_effect_too_small_to_share_has_no_table():
    assert "".join(shares({"organs": {}, "zones": {}})) == ""
    page = "".join(shares({"organs": {"left_lung": 0.9}, "zones": {"left lower": 0.04}}))
    assert "left lung" in page
    assert "90%" in page
    assert "left lower" not in page
