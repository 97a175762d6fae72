"""Modules that are loaded when something of theirs is used for the first time."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

__all__ = ["imported_late"]


class _Finder(MetaPathFinder):
    """Finds one module as usual, and defers its loading."""

    def __init__(self, name: str) -> None:
        self._name = name

    @override
    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def imported_late(name: str) -> Iterator[None]:
    """What is imported within it gets this module unloaded: for a program that will not use what its libraries import it for.

    Its first use loads it (:class:`importlib.util.LazyLoader`), so nothing is missing; so does a second import.
    """
    finder = _Finder(name)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
