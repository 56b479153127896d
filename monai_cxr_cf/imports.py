# SPDX-License-Identifier: Apache-2.0
"""What the libraries load of themselves that an edit never uses, put off until someone asks.

diffusers loads every transformer it knows before it gives out the UNet, and with it PyTorch's
compiler; transformers loads the distributed tensors. That is half the start of a command. In a
process that a door of ours owns, ``prepare`` puts such packages off: their submodules load as
always, their own first file is run when something else of them is asked for. A process that
merely imports this package is left alone.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.machinery import ModuleSpec, PathFinder
from threading import Lock, RLock
from types import ModuleType
from typing import Any


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    """A decorator for the compiler, where nothing is compiled: the function itself."""
    return function if function is not None else _as_it_is


def _when_called(module: str, *names: str) -> dict[str, Callable[..., Any]]:
    """The functions of those names, looked up when they are called."""

    def later(name: str) -> Callable[..., Any]:
        def function(*words: Any, **named: Any) -> Any:
            return getattr(_run(import_module(module)), name)(*words, **named)

        return function

    return {name: later(name) for name in names}


MARKS = ("allow_in_graph", "assume_constant_result", "disable")  # of code for the compiler
# Package -> what its importers take from it by name while they are loaded.
PUT_OFF: dict[str, dict[str, Any]] = {
    "torch._dynamo": dict.fromkeys(MARKS, _as_it_is),
    "diffusers.models.autoencoders": {},
    "diffusers.models.transformers": {},
    "diffusers.models.unets": {},
    "diffusers.hooks": {},
    "transformers.models": {},
    "monai": {},
    "monai.apps": {},
    "monai.networks.nets": {},
    "ignite.handlers": {},
    "matplotlib.pyplot": {},
    "scipy.integrate": {},
    "scipy.stats": {},
    "scipy.optimize": _when_called("scipy.optimize", "linear_sum_assignment"),
    "scipy.signal": _when_called("scipy.signal", "hilbert", "iirnotch"),
}
# Modules that are taken by name from a package put off.
INSIDE = {("monai", "transforms"), ("monai.networks.nets", "resnet")}
AFTER = {"monai.transforms": "monai.data"}  # a circle that MONAI's first file enters at the second
# The modules of PyTorch's compiler import each other in a circle, and need its first file run;
# all but this one, with which transformers makes masks.
CIRCLE, ALONE = "torch._dynamo.", "torch._dynamo._trace_wrapped_higher_order_op"


class PutOff(ModuleType):
    """A package whose first file has not been run; the first unknown name runs it."""

    def __getattr__(self, name: str) -> Any:
        """What the package holds under ``name``: a submodule, a stand-in, or the real thing."""
        known = self.__dict__
        if name == "__version__":
            return metadata.version(known["__name__"])
        if name.startswith("__"):
            raise AttributeError(name)
        if name in PUT_OFF[known["__name__"]]:
            return PUT_OFF[known["__name__"]][name]
        if (known["__name__"], name) in INSIDE:
            return import_module(f"{known['__name__']}.{name}")
        return getattr(_run(self), name)


def _run(module: ModuleType) -> ModuleType:
    """The module, after its first file has been run."""
    if type(module) is PutOff:
        later = module.__dict__["__spec__"].loader
        with later.lock:
            if type(module) is PutOff:
                module.__class__ = ModuleType  # type: ignore[assignment]
                later.file.exec_module(module)
    return module


class _Later:
    """A loader that only notes how to run the package's first file."""

    def __init__(self, file: Any) -> None:
        self.file, self.lock = file, RLock()

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.file.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = PutOff

    def __getattr__(self, name: str) -> Any:  # resources, source, is_package: as the real one
        return getattr(self.file, name)


class _Second:
    """A loader of a package of ``AFTER``: what comes before it is loaded, and loads it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        import_module(AFTER[spec.name])
        return import_module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """It has been run."""


class _Finder:
    """Finds the packages of ``PUT_OFF`` where they are, and puts them off."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.startswith(CIRCLE) and name != ALONE:
            _run(sys.modules[CIRCLE[:-1]])
        if name in AFTER and AFTER[name] not in sys.modules:
            return ModuleSpec(name, _Second())  # type: ignore[arg-type]
        if name not in PUT_OFF:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Later(spec.loader)  # type: ignore[assignment]
        return spec


def prepare() -> None:
    """Put off what is in ``PUT_OFF``; what is loaded already stays. Call before any library."""
    if not _prepared():
        sys.meta_path.insert(0, _Finder())


def _prepared() -> bool:
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


@contextmanager
def loading() -> Iterator[None]:
    """Around imports in a process that is ours: no code for many machines, no collecting.

    transformers skips what it loads for several machines. Python's collector, which would look
    through everything again and again while thousands of lasting objects are made, rests; what was
    made is not looked through later either. In another process this does nothing.
    """
    if not _prepared():
        yield
        return
    count = len(sys.modules)
    _pause.begin()
    try:
        yield
    finally:
        _pause.end(freeze=len(sys.modules) > count)


class _Pause:
    """The state that ``loading`` changes, put back when the last one under way ends."""

    def __init__(self) -> None:
        self._lock, self._depth = Lock(), 0
        self._collects = False
        self._said: Callable[[], bool] = bool

    def begin(self) -> None:
        from torch import distributed

        with self._lock:
            if self._depth == 0:
                self._collects, self._said = gc.isenabled(), distributed.is_available
                gc.disable()
                distributed.is_available = lambda: False
            self._depth += 1

    def end(self, *, freeze: bool) -> None:
        from torch import distributed

        with self._lock:
            self._depth -= 1
            if freeze:
                gc.freeze()
            if self._depth == 0:
                distributed.is_available = self._said
                if self._collects:
                    gc.enable()


_pause = _Pause()
