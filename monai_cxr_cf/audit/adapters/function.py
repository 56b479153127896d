# SPDX-License-Identifier: Apache-2.0
"""A Python function of the user as a classifier: ``package.module:name`` or ``file.py:name``."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from monai_cxr_cf.errors import BadRequest, CxrError


def load_function(spec: str) -> tuple[Any, Path | None]:
    """The function, and the file that it stands in.

    Raises:
        BadRequest: no such module or function, or its module fails to load.
    """
    place, _, name = spec.rpartition(":")
    try:
        module = _file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except CxrError:
        raise
    except Exception as error:  # the user's own code may raise anything
        raise BadRequest(
            f"The module of '{spec[:80]}' does not load: {type(error).__name__}.",
            hint="Give package.module:function or path/file.py:function; try it with --debug.",
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        raise BadRequest(f"The module has no function '{name[:40]}'.")
    source = getattr(module, "__file__", None)

    def run(batch: Any) -> Any:
        try:
            return found(batch)
        except Exception as error:
            raise BadRequest(
                f"The function '{name[:40]}' raised {type(error).__name__} on an array of shape "
                f"{batch.shape}.",
                hint="Mend it or the layout in audit.yaml; --debug shows where.",
            ) from error

    return run, None if source is None else Path(source)


def _file(path: Path) -> Any:
    if not path.is_file():
        raise BadRequest("The Python file of --model is not there.", hint="Check the path.")
    spec = importlib.util.spec_from_file_location(f"audited_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadRequest("The Python file of --model cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
