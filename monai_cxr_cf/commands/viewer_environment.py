# SPDX-License-Identifier: Apache-2.0
"""The viewer's own Python: where it lies, how it is made, and how it is started.

trame-slicer brings a Slicer of its own, with other versions than the product's: the two never
share an environment. Nothing is installed unless somebody asks for it.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from monai_cxr_cf.errors import ComponentMissing, ResourceExhausted

PACKAGE = Path(__file__).resolve().parents[1]
PINS = PACKAGE / "viewer" / "constraints.txt"
START = PACKAGE / "viewer" / "start.py"
# Where the extension's library and its sample lie: inside a wheel, or in the checkout beside it.
LIBRARY = "CXRCounterfactualLib"
EXTENSION = PACKAGE.parent / "slicer_extension" / "CXRCounterfactual"
SAMPLE = "drawn-chest.dcm"
RUNNER = "MONAI_CXR_CF_PYTHON"
DONE = "complete"
INSTALL = "cxr-cf viewer --install"


def folder() -> Path:
    """Where the environment of these pins lies, there or not: in the user's cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cxr-cf"
    words = PINS.read_bytes() + sys.executable.encode()
    return base / f"viewer-{sha256(words).hexdigest()[:12]}"


def python_in(place: Path) -> Path:
    """Python of an environment."""
    return place / "Scripts" / "python.exe" if os.name == "nt" else place / "bin" / "python"


def interpreter(named: str | None) -> Path:
    """The viewer's Python: the one that was named, or the installed one.

    Raises:
        ComponentMissing: there is none; the hint says how to make one.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise ComponentMissing(
                "The Python that --python names does not exist.",
                hint=f"Name the Python of an environment, or make one: {INSTALL}",
            )
        return Path(found)
    if not (folder() / DONE).is_file():
        raise ComponentMissing(
            "The viewer's own environment is not installed (about 1 GB).",
            hint=f"Make it once: {INSTALL}",
        )
    return python_in(folder())


def commands(place: Path) -> list[list[str]]:
    """What makes an environment in a new folder, one command after another."""
    inside = str(python_in(place))
    install = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps"]
    return [
        [sys.executable, "-m", "venv", str(place)],
        [inside, *install, "--only-binary=:all:", "-r", str(PINS)],
    ]


def install(tell: Callable[[str], None]) -> None:
    """Make the environment anew, telling each command; a failed one leaves none behind.

    Raises:
        ResourceExhausted: a command failed.
    """
    place = folder()
    shutil.rmtree(place, ignore_errors=True)
    try:
        for words in commands(place):
            tell(shlex.join(words))
            if subprocess.run(words, check=False, stdin=subprocess.DEVNULL).returncode:
                raise ResourceExhausted(
                    "The viewer's environment could not be made.",
                    hint="Is the machine online, and has the disk 1 GB of room? See above.",
                )
        (place / DONE).touch()
    finally:
        if not (place / DONE).is_file():
            shutil.rmtree(place, ignore_errors=True)


def start_words(python: Path, words: list[str]) -> list[str]:
    """The command that starts the viewer.

    Raises:
        ComponentMissing: the extension's library was lost.
    """
    for library, sample in (
        (PACKAGE / LIBRARY, PACKAGE / "viewer" / SAMPLE),
        (EXTENSION / LIBRARY, EXTENSION / "Resources" / "SampleData" / SAMPLE),
    ):
        if (library / "__init__.py").is_file():
            # -I: neither this environment's packages nor the user's.
            return [str(python), "-I", str(START), str(library), str(sample), *words]
    raise ComponentMissing(
        "The library of the Slicer extension was not found beside the package.",
        hint="Reinstall monai-cxr-cf from its wheel, or run from a complete checkout.",
    )
