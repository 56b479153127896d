# SPDX-License-Identifier: Apache-2.0
"""How the panel looks where it must catch the eye; readable on Slicer's light and dark themes."""

_STRIPE = (
    "border-left: 4px solid {colour}; border-radius: 0px; padding: 4px 4px 4px 8px;"
    " background: rgba({rgb}, 28);"
)

AMBER = "background: #F5C242; color: #221700; font-weight: bold; border-radius: 4px; padding: 5px;"
TITLE = "font-weight: bold; font-size: 11pt;"
CARD = "qMRMLWidget#setupCard { border: 1px solid #F5C242; border-radius: 4px; }"
RUN = (
    "QPushButton { background: #1565C0; color: white; font-weight: bold; border: none;"
    " border-radius: 4px; padding: 6px; }"
    "QPushButton:hover { background: #1976D2; }"
    "QPushButton:pressed { background: #0D47A1; }"
    "QPushButton:disabled { background: palette(mid); color: palette(window); }"
)
TONES = {  # what a message or a verdict is worth
    "plain": "",
    "good": _STRIPE.format(colour="#2E9E62", rgb="46, 158, 98"),
    "doubt": _STRIPE.format(colour="#F5A623", rgb="245, 166, 35"),
    "bad": _STRIPE.format(colour="#D93A2B", rgb="217, 58, 43"),
    "busy": _STRIPE.format(colour="#1565C0", rgb="21, 101, 192"),
}
