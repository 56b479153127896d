# SPDX-License-Identifier: Apache-2.0
"""No patient data in logs: what DICOM and web libraries say is withheld, for they echo values.

The reader runs inside ``withheld()``; the command line and the server call
``install_privacy_filter`` once for the whole process.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("pydicom", "highdicom", "dicomweb_client", "pynetdicom", "urllib3")
logger = logging.getLogger(__name__)


class WithholdText(logging.Filter):
    """Replaces the text of every record by its origin: level and source line, no values."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Strip message, arguments and traceback; the record itself passes."""
        record.msg = f"{record.name}: message withheld ({record.module}:{record.lineno})"
        record.args = None
        record.exc_info = None
        record.exc_text = None
        record.stack_info = None
        return True


def install_privacy_filter() -> None:
    """For the whole process: library log records and Python warnings lose their text.

    Warnings are logged at DEBUG by category and source line. Calling it again changes nothing.
    """
    for name in _library_loggers():
        library = logging.getLogger(name)
        if not any(isinstance(each, WithholdText) for each in library.filters):
            library.addFilter(WithholdText())
    warnings.showwarning = _log_category


@contextmanager
def withheld() -> Iterator[None]:
    """Within the block library records lose their text and Python warnings are not shown.

    ``warnings`` is global state, so another thread's warnings may be lost meanwhile.
    """
    text_filter = WithholdText()
    loggers = [logging.getLogger(name) for name in _library_loggers()]
    for library in loggers:
        library.addFilter(text_filter)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library in loggers:
            library.removeFilter(text_filter)


def _library_loggers() -> list[str]:
    """The libraries' loggers and those below: a filter does not apply to a child's records."""
    known = list(logging.root.manager.loggerDict)
    below = [name for name in known if name.startswith(tuple(f"{lib}." for lib in _LIBRARIES))]
    return [*_LIBRARIES, *below]


def _log_category(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    logger.debug("%s withheld (line %d of a library)", category.__name__, lineno)
