# SPDX-License-Identifier: Apache-2.0
"""First file of the viewer's own Python: ``PYTHON -I start.py LIBRARY SAMPLE [words ...]``.

That Python has trame-slicer and not the product: package and library are made importable by their
files alone, so that nothing else of the product's environment comes along.
"""

import importlib.util
import sys
from pathlib import Path


def make_importable(name: str, folder: Path) -> None:
    """Let ``import name`` find one package by its folder, and nothing beside it."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package {name} in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def main(words: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    library, sample, *rest = words
    make_importable("monai_cxr_cf", Path(__file__).resolve().parents[1])
    make_importable("CXRCounterfactualLib", Path(library))
    from monai_cxr_cf.viewer.serving import serve

    return serve(Path(sample), rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
