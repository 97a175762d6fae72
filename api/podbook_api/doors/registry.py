"""Every door there is, by its name."""

from collections.abc import Iterable, Mapping

from podbook_api.doors.door import Door
from podbook_api.doors.dsapi.door import DSAPI, DSAPI_AT_ROOT
from podbook_api.doors.http_notebooks.door import HTTP_NOTEBOOKS
from podbook_api.doors.jupyrest1.door import JUPYREST1
from podbook_api.doors.jupyrest2.door import JUPYREST2
from podbook_api.doors.native.door import NATIVE

__all__ = ["AT_ROOT", "DOORS", "UnknownDoorError", "doors_named"]

DOORS: Mapping[str, Door] = {door.name: door for door in (NATIVE, JUPYREST1, JUPYREST2, HTTP_NOTEBOOKS, DSAPI)}
AT_ROOT: Mapping[str, Door] = {"dsapi": DSAPI_AT_ROOT}
"""The same door open at the root as well, by the name that chooses it."""


class UnknownDoorError(ValueError):
    """There is no door of that name."""


def doors_named(names: Iterable[str], root: str = "") -> tuple[Door, ...]:
    """The doors of these names, in the order of :data:`DOORS`, each once; all of them where no name is given. Pure.

    Args:
        names: of doors.
        root: the name of a door of :data:`AT_ROOT` that is to have the root as well; empty for none.

    Raises:
        UnknownDoorError: there is none of a name; the message names those there are.
    """
    chosen = set(names)
    unknown = sorted(chosen - set(DOORS))
    if unknown:
        raise UnknownDoorError(f"there is no door {unknown[0]!r}; there are {', '.join(DOORS)}")
    if root and root not in AT_ROOT:
        raise UnknownDoorError(f"there is no door {root!r} for the root; there are {', '.join(AT_ROOT)}")
    opened = tuple(door for name, door in DOORS.items() if name in chosen or not chosen)
    return (*opened, AT_ROOT[root]) if root else opened
