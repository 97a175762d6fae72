"""Deep data is found without going deep oneself."""

from typing import Any

import pytest
from pydantic import ValidationError

from podbook_core.model import NotebookRef, Spec
from podbook_core.nesting import MAX_NESTING, nested_too_deeply


def nested(levels: int, kind: type) -> Any:
    value: Any = kind()
    for _ in range(levels - 1):
        value = {"a": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize("kind", [dict, list])
@pytest.mark.parametrize(("levels", "found"), [(1, False), (100, False), (101, True), (50_000, True)])
def test_levels_are_counted(kind: type, levels: int, found: bool) -> None:
    assert nested_too_deeply({"parameter": nested(levels - 1, kind)} if levels > 1 else {}) is found


def test_parameters_have_a_bottom() -> None:
    Spec(notebook=NotebookRef(name="free"), parameters={"a": nested(MAX_NESTING - 1, list)})
    with pytest.raises(ValidationError, match="nested deeper than 100 levels"):
        Spec(notebook=NotebookRef(name="free"), parameters={"a": nested(5_000, dict)})
