# SPDX-License-Identifier: Apache-2.0
"""The runner's own Python: where it is, how to make one, and what a child process may inherit.

Nothing is ever installed into Slicer's Python. No qt, no slicer: paths and words only.
"""

import math
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "MONAI_CXR_CF_PYTHON"
SCRIPT = "cxr-cf"
PACKAGE = "monai_cxr_cf"  # as a folder of a checkout, and as the beginning of a wheel's name
# What Slicer sets for itself and what would break another Python (docs/slicer.md 4.1).
DROPPED = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "LD_LIBRARY_PATH")
ANY = ("python3", "python")  # their version is not in their name
BASES = ("python3.12", "python3.13", "python3.11", *ANY)
UV, UV_PYTHON = "uv", "3.12"  # uv brings a Python of its own where the system has none
VERSIONS = "sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"
STAGES = ("check", "create", "install", "doctor")
WINDOWS = os.name == "nt"


@dataclass(frozen=True)
class Runner:
    """The Python that runs edits, and who named it."""

    python: str
    origin: str  # "setting", "variable" or "path"

    @property
    def there(self) -> bool:
        """Whether such a program exists."""
        return shutil.which(self.python) is not None


@dataclass(frozen=True)
class Plan:
    """The commands that make the runner's environment, one after another."""

    folder: Path
    steps: tuple[tuple[str, ...], ...]
    driver: str = ""  # the Python that runs the steps; "": the first step's

    @property
    def stages(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each step with its name."""
        return list(zip(STAGES, self.steps, strict=True))

    @property
    def text(self) -> str:
        """The same to copy into a terminal."""
        joined = (subprocess.list2cmdline(s) if WINDOWS else shlex.join(s) for s in self.steps)
        return "\n".join(joined)


def clean_environment(startup: Mapping[str, str]) -> dict[str, str]:
    """Slicer's start-up environment without what belongs to Slicer's Python and libraries."""
    return {
        name: value
        for name, value in startup.items()
        if name not in DROPPED and not name.startswith("DYLD_")
    }


def find_runner(setting: str, environment: Mapping[str, str]) -> Runner | None:
    """The runner's Python: the module's setting, else the variable, else beside ``cxr-cf``.

    What was set is never passed over: if it does not exist, the doctor says so.

    Args:
        setting: a Python, the folder of an environment, a ``cxr-cf``, or "".
        environment: the start-up environment; its PATH is searched.
    """
    for named, origin in ((setting, "setting"), (environment.get(VARIABLE, ""), "variable")):
        if named.strip():
            return Runner(python_of(Path(named.strip()).expanduser()), origin)
    script = shutil.which(SCRIPT, path=environment.get("PATH", ""))
    return None if script is None else Runner(python_of(Path(script)), "path")


def python_of(path: Path) -> str:
    """The Python of an environment's folder or of a ``cxr-cf`` script; else the path itself."""
    if path.is_dir():
        return str(python_in(path))
    if not path.stem.startswith(SCRIPT):
        return str(path)
    for folder in (path.parent, path.parent.parent):  # venv, then a Windows installation
        beside = folder / ("python.exe" if WINDOWS else "python")
        if beside.exists():
            return str(beside)
    return _shebang(path) or str(path)


def python_in(folder: Path) -> Path:
    """Python of a virtual environment, there or not."""
    return folder / "Scripts" / "python.exe" if WINDOWS else folder / "bin" / "python"


def _shebang(script: Path) -> str:
    with script.open("rb") as stream:
        first = stream.readline(4096).decode("utf-8", "replace")
    return first[2:].strip() if first.startswith("#!/") and "python" in first else ""


def base_python(environment: Mapping[str, str]) -> str | None:
    """A Python of the system to make an environment from; never the one that runs this."""
    own = {Path(sys.prefix), Path(sys.prefix).resolve()}
    for name in BASES:
        found = shutil.which(name, path=environment.get("PATH", ""))
        if found and not own & {*Path(found).absolute().parents, *Path(found).resolve().parents}:
            return found
    return None


def base_uv(environment: Mapping[str, str]) -> str | None:
    """``uv``, if it is on the PATH; as the fallback for a Python of a version that will do."""
    return shutil.which(UV, path=environment.get("PATH", ""))


def maker(python: str | None, uv: str | None) -> str | None:
    """What makes an environment: a Python whose name tells a good version, else uv, else any."""
    if python is None or uv is None:
        return python or uv
    return uv if Path(python).name.lower().removesuffix(".exe") in ANY else python


def is_environment(folder: Path) -> bool:
    """Whether a folder is a virtual environment, and no link to one."""
    return (folder / "pyvenv.cfg").is_file() and not folder.is_symlink()


def megabytes(folder: Path) -> int:
    """What its files hold on the disk; links count as links, what goes meanwhile as nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return math.ceil(total / 1e6)


def remove(folder: Path) -> None:
    """Delete an environment; what is left of one that is in use can be removed later.

    Raises:
        OSError: something of it is in use, or may not be deleted.
    """
    try:
        shutil.rmtree(folder)
    except OSError:
        if folder.is_dir():
            (folder / "pyvenv.cfg").touch()  # by which it is known as an environment
        raise


def package_of(named: str) -> str | None:
    """What pip can install there: a wheel of the product, or a checkout; None if it is neither.

    Never a name: nobody vouches for what an index holds under it.

    Args:
        named: a wheel, a checkout's folder, or the ``pyproject.toml`` in it.
    """
    if not named.strip():
        return None
    path = Path(named.strip()).expanduser().absolute()
    if path.name == "pyproject.toml":
        path = path.parent
    wheel = path.suffix == ".whl" and path.name.startswith(f"{PACKAGE}-") and path.is_file()
    checkout = (path / "pyproject.toml").is_file() and (path / PACKAGE / "cli.py").is_file()
    return str(path) if wheel or checkout else None


def checkout_around(file: Path) -> str | None:
    """The checkout that this module is run from, if it is run from one."""
    folders = map(str, file.resolve().parents[3:6])
    return next(filter(None, map(package_of, folders)), None)


def create_commands(folder: Path, source: str, *, python: str, driver: str = "") -> Plan:
    """How to make the runner's environment.

    Args:
        folder: where it will lie; new.
        source: what pip installs: a wheel or a checkout's folder (``package_of``).
        python: any Python 3.11 to 3.13 with venv; or uv, which fetches one if none is there.
        driver: with uv, the Python that runs the steps, which then is any.
    """
    inside = str(python_in(folder))
    install = [inside, "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    lock = Path(source) / "constraints.txt"
    if lock.is_file():  # the versions the product was tested with
        install += ["-c", str(lock)]
    first: tuple[tuple[str, ...], ...] = (
        (python, "-c", f"import sys, venv, ensurepip; {VERSIONS}"),
        (python, "-m", "venv", str(folder)),
    )
    by_uv = Path(python).stem == UV
    if by_uv:
        new = ("venv", "--seed", "--no-project", "--python", UV_PYTHON, str(folder))
        first = ((python, "--version"), (python, *new))
    last = (*install, source), (inside, "-m", "monai_cxr_cf.cli", "doctor")
    return Plan(folder, (*first, *last), driver if by_uv else "")
