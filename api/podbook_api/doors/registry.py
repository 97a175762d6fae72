"""Every door there is, by its name."""

from collections.abc import Iterable, Mapping

from podbook_api.doors.door import Door
from podbook_api.doors.native.door import NATIVE

__all__ = ["DOORS", "UnknownDoorError", "doors_named"]

DOORS: Mapping[str, Door] = {door.name: door for door in (NATIVE,)}


class UnknownDoorError(ValueError):
    """There is no door of that name."""


def doors_named(names: Iterable[str]) -> tuple[Door, ...]:
    """The doors of these names, in their order, each once. Pure.

    Raises:
        UnknownDoorError: there is none of a name; the message names those there are.
    """
    chosen: dict[str, Door] = {}
    for name in names:
        if name not in DOORS:
            raise UnknownDoorError(f"there is no door {name!r}; there are {', '.join(sorted(DOORS))}")
        chosen[name] = DOORS[name]
    return tuple(chosen.values())
