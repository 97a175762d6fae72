"""Deep data is found without going deep oneself."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from podbook_core.execution.model import NotebookRef, Spec
from podbook_core.text.json_depth import MAX_NESTING, cut_deep, nested_too_deeply, parse_document

TEXT = st.text(st.sampled_from('[]{}"\\,: aé')) | st.text()
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=30,
)


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


def pruned(value: Any, levels: int) -> Any:
    """The value with None for what lies deeper, by the plain recursive definition."""
    if isinstance(value, dict):
        return {key: pruned(inner, levels - 1) for key, inner in value.items()} if levels else None
    if isinstance(value, list):
        return [pruned(inner, levels - 1) for inner in value] if levels else None
    return value


@given(value=JSON, limit=st.integers(0, 6), ascii_only=st.booleans(), indent=st.none() | st.just(1))
def test_what_is_too_deep_is_cut_off_and_the_rest_stays(value: Any, limit: int, ascii_only: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(errors="surrogatepass")
    assert json.loads(cut_deep(data, limit)) == pruned(json.loads(data), limit)


@pytest.mark.parametrize("levels", [10_000, 200_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ('[{"a]":[], "b":', "}]")])
def test_a_document_of_any_depth_is_read(levels: int, opens: str, closes: str) -> None:
    data = ('{"spec": {"deep": ' + opens * levels + "1" + closes * levels + '}, "metadata": {"name": "a"}}').encode()
    document = parse_document(data)
    assert document["metadata"] == {"name": "a"}
    assert nested_too_deeply(document["spec"])


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b'{"a": ' * 100_000 + b'"', b"[" * 100_000 + b"]" * 99_999])
def test_a_document_that_ends_too_early_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="line 1"):
        parse_document(data)
