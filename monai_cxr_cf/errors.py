# SPDX-License-Identifier: Apache-2.0
"""Every error a caller can meet: a code, one clear sentence and the next step.

Raised anywhere in the package; the command line turns one into an exit code and the server into
an HTTP status. A message says what was found, what was expected and what to do, and never holds
patient data.
"""

# The commands for what is not installed. A checkout or a wheel, never a name: nobody vouches for
# what an index holds under it.
REINSTALL = "In the checkout: python -m pip install --force-reinstall -c constraints.txt ."
INSTALL_EXTRA = "In the checkout: python -m pip install -c constraints.txt '.[{}]'"


class CxrError(Exception):
    """Base of all errors of the package; raised itself only for a bug of ours.

    Args:
        message: one sentence: what was found and what was expected.
        code: stable snake_case identifier for programs; defaults to the class's own.
        hint: what the caller should do next; may be empty.
    """

    code = "internal"
    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def as_dict(self) -> dict[str, str]:
        """The same three fields in every interface: CLI ``--json``, NDJSON event, HTTP body."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class BadRequest(CxrError):
    """The request itself is wrong: an unknown key, finding, preset or value out of range."""

    code, exit_code, http_status = "bad_request", 2, 400


class UnreadableInput(CxrError):
    """The file is not what it claims to be: not DICOM, truncated, empty, undecodable."""

    code, exit_code, http_status = "unreadable_input", 2, 415


class UnsupportedImage(CxrError):
    """A readable image that must not be edited: wrong modality, part, view, size or content."""

    code, exit_code, http_status = "unsupported_image", 2, 422


class ComponentMissing(CxrError):
    """Weights, an extra or a program is missing; the hint holds the command that fixes it."""

    code, exit_code, http_status = "component_missing", 3, 503


class ResourceExhausted(CxrError):
    """Memory, disk or device ran out; the hint names the preset or size that would fit."""

    code, exit_code, http_status = "resource_exhausted", 4, 507


class RemoteFailure(CxrError):
    """A PACS or another server failed or refused."""

    code, exit_code, http_status = "remote_failure", 5, 502


class Cancelled(CxrError):
    """The caller stopped the run. SIGTERM or a cancel line: exit 143; Ctrl-C: exit 130."""

    code, exit_code, http_status = "cancelled", 143, 409

    def __init__(
        self, message: str = "The run was cancelled.", *, interrupted: bool = False
    ) -> None:
        super().__init__(message)
        if interrupted:
            self.exit_code = 130
