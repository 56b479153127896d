# SPDX-License-Identifier: Apache-2.0
"""The one exception by which source and results say no: a sentence, and what to do next."""


class Refused(Exception):
    """Something cannot be used or imported.

    Args:
        message: what was found and what was expected; shown to the user, no patient data.
        hint: the next step.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
