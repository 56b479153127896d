# SPDX-License-Identifier: Apache-2.0
"""Errors that only a server meets; like all errors they carry code, message, hint and a status."""

from monai_cxr_cf.errors import CxrError


class NotFound(CxrError):
    """No such job, file, image or route."""

    code, exit_code, http_status = "not_found", 2, 404


class Unauthorised(CxrError):
    """The API key is missing or wrong."""

    code, exit_code, http_status = "unauthorised", 2, 401


class Forbidden(CxrError):
    """A host name, an origin or an action that this server does not allow."""

    code, exit_code, http_status = "forbidden", 2, 403


class TimedOut(CxrError):
    """The client sent or took too little for too long."""

    code, exit_code, http_status = "timed_out", 2, 408


class Conflict(CxrError):
    """The state of a job does not allow it, e.g. files of a job that still runs."""

    code, exit_code, http_status = "conflict", 2, 409


class Gone(CxrError):
    """The files of a job were removed when it expired."""

    code, exit_code, http_status = "gone", 2, 410


class TooLarge(CxrError):
    """The body exceeds the upload limit."""

    code, exit_code, http_status = "too_large", 2, 413


class Busy(CxrError):
    """The queue is full; try again later."""

    code, exit_code, http_status = "queue_full", 4, 429
