"""Every door there is, by its name."""

from collections.abc import Iterable, Mapping

from podbook_api.doors.door import Door
from podbook_api.doors.http_notebooks.door import HTTP_NOTEBOOKS
from podbook_api.doors.jupyrest1.door import JUPYREST1
from podbook_api.doors.jupyrest2.door import JUPYREST2
from podbook_api.doors.native.door import NATIVE

__all__ = ["DOORS", "UnknownDoorError", "doors_named"]

DOORS: Mapping[str, Door] = {door.name: door for door in (NATIVE, JUPYREST1, JUPYREST2, HTTP_NOTEBOOKS)}


class UnknownDoorError(ValueError):
    """There is no door of that name."""


def doors_named(names: Iterable[str]) -> tuple[Door, ...]:
    """The doors of these names, in the order of :data:`DOORS`, each once; all of them where no name is given. Pure.

    Raises:
        UnknownDoorError: there is none of a name; the message names those there are.
    """
    chosen = set(names)
    unknown = sorted(chosen - set(DOORS))
    if unknown:
        raise UnknownDoorError(f"there is no door {unknown[0]!r}; there are {', '.join(DOORS)}")
    return tuple(door for name, door in DOORS.items() if name in chosen or not chosen)
