"""Where Podbook relies on the inside of a library, a decision record says so and names the test that notices a change."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from tests.source_tree import PACKAGES, ROOT

RECORD = ROOT / "docs" / "decisions" / "0013-libraries-beyond-their-documentation.md"
PRIVATE_OF_OTHERS = {"_expiry_time"}
"""Private names in the record's table."""
DOCUMENTED = {"_exit"}
"""Names that look private and are not: ``os._exit``."""


def rows() -> list[list[str]]:
    lines = [line for line in RECORD.read_text().splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def own_names() -> set[str]:
    """Every private name that Podbook itself defines or sets."""
    found: set[str] = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    found.add(name)
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    found.add(name)
                case _:
                    pass
    return {name for name in found if name.startswith("_")}


def test_every_place_and_every_test_is_there() -> None:
    found = rows()
    assert len(found) > 10
    for row in found:
        assert len(row) == 4, row
        for cell in row[2:]:
            named = re.findall(r"`([^`]+\.py)`", cell)
            assert named, row
            assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_tests_of_the_record_are_tests() -> None:
    for row in rows():
        for name in re.findall(r"`(tests/[^`]+\.py)`", row[3]):
            assert "\ndef test_" in (ROOT / name).read_text() or "async def test_" in (ROOT / name).read_text()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_private_name_of_others_is_used_in_silence(path: Path) -> None:
    own = own_names()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(attr=name) if name.startswith("_") and not name.endswith("__"):
                assert name in own | DOCUMENTED, f"{path.name}: {name} is not ours; see {RECORD.name}"
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]) if name.startswith("_"):
                assert name in PRIVATE_OF_OTHERS or name.endswith("__"), f"{path.name}: {name}; see {RECORD.name}"
            case ast.ImportFrom(module=str(module)) if not module.startswith(("podbook", "__")):
                assert not any(part.startswith("_") for part in module.split(".")), f"{path.name}: {module}"
            case _:
                pass
    assert all(name in RECORD.read_text() for name in PRIVATE_OF_OTHERS)
