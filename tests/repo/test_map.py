"""CONTRIBUTING.md says where everything is: its map and the tree agree, and no room grows beyond what a reader can hold in mind."""

import ast
import re

import pytest
from tests.source_tree import PACKAGES, ROOT

ROOM_SIZE = 16
"""Modules in a room, ``__init__`` not counted."""


def rooms() -> set[str]:
    """Every folder below the packages that has modules of its own."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "__init__.py" and path.parent != ROOT / package:
                found.add(str(path.parent.relative_to(ROOT)))
    return found


def shown() -> set[str]:
    """The folders of the map."""
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("### Where to look")[2].partition("\n\nInside")[0]
    return {place for row in table.splitlines()[2:] for place in re.findall(r"`([a-z-]+/[^`]+)`", row.rpartition(" | ")[2])}


def test_every_room_is_on_the_map() -> None:
    assert len(rooms()) > 20
    assert rooms() - shown() == set()


def test_every_place_of_the_map_is_there() -> None:
    assert shown()
    assert [place for place in shown() if not (ROOT / place).is_dir()] == []


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_has_a_subject_and_few_modules(room: str) -> None:
    modules = [path for path in (ROOT / room).glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= ROOM_SIZE, [path.name for path in modules]
    subject = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())) or ""
    assert len(subject.split()) >= 4
