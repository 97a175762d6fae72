"""The cell with the parameters: values as code, and instances where the notebook has a class for them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.notebook.injection import (
    Instance,
    classes_before_parameters,
    injection_place,
    parameters_source,
    typed_parameters,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
INCIDENT = {"title": "Incident", "type": "object", "properties": {"at": {"type": "string"}, "by": {"$ref": "#/definitions/person"}}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "one": {"$ref": "#/definitions/incident"},
        "many": {"type": "array", "items": {"$ref": "#/definitions/incident"}},
    },
    "definitions": {"incident": INCIDENT, "person": {"title": "Person", "type": "object"}, "loop": {"$ref": "#/definitions/loop"}},
}


def cell(source: str | list[str], *tags: str, kind: str = "code") -> dict[str, Any]:
    """A cell."""
    return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}}


def run(source: str, **names: Any) -> dict[str, Any]:
    """What a cell assigns."""
    namespace = dict(names)
    exec(source, namespace)  # noqa: S102 - it is the code under test
    return {name: value for name, value in namespace.items() if name != "__builtins__" and name not in names}


@given(VALUES)
def test_a_value_is_assigned_as_it_was(value: Any) -> None:
    assert run(parameters_source({"x": value})) == {"x": value}


def test_what_json_has_no_number_for() -> None:
    source = parameters_source({"a": float("inf"), "b": float("-inf"), "c": float("nan")})
    assert source == "# Parameters\na = float('inf')\nb = float('-inf')\nc = float('nan')\n"


def test_no_text_leaves_its_quotes() -> None:
    hostile = '"; import os; os.abort() #\\"\n\r\u2028\ud800'
    assert run(parameters_source({"x": hostile, "y": {hostile: [hostile]}})) == {"x": hostile, "y": {hostile: [hostile]}}


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        ([], (0, False)),
        ([cell("a"), cell("b")], (0, False)),
        ([cell("a"), cell("b", "parameters"), cell("c")], (2, False)),
        ([cell("a", "parameters"), cell("b", "injected-parameters")], (1, True)),
        ([cell("a", "injected-parameters"), cell("b", "parameters")], (0, True)),
        ([{"cell_type": "code", "source": "", "metadata": None}, {"metadata": {"tags": "parameters"}}], (0, False)),
    ],
)
def test_where_the_cell_goes(cells: list[dict[str, Any]], place: tuple[int, bool]) -> None:
    assert injection_place(cells) == place


def test_classes_are_those_defined_before_the_parameters() -> None:
    cells = [
        cell("%matplotlib inline\nclass Early(Base):\n    pass\n"),
        cell("class Prose: is Markdown", kind="markdown"),
        cell(["import x\n", "class Incident(Base):\n", "    class Inner: ...\n", "if 1:\n    class Hidden: ...\n"], "parameters"),
        cell("class Late: ..."),
    ]
    assert classes_before_parameters(cells) == {"Early", "Incident"}
    assert classes_before_parameters([cell("class A: ...")]) == frozenset()


def test_classes_may_be_imported() -> None:
    cells = [
        cell("!pip list\nfrom models import (\n    Early,\n    Other as Another,\n)\nfrom . import (broken\nfrom a import b c"),
        cell("from company.models import Incident, Person as Who\nimport Module\nif 1:\n    from x import Hidden\n", "parameters"),
        cell("from models import Late"),
    ]
    assert classes_before_parameters(cells) == {"Early", "Another", "Incident", "Who"}


def test_objects_become_instances_where_the_notebook_has_their_class() -> None:
    class Incident(dict[str, Any]):
        """Stands for a model."""

    parameters = {"one": {"at": "now", "by": {"name": "A"}}, "many": [{"at": "x"}, 3], "other": {"title": "Incident"}}
    typed = typed_parameters(parameters, SCHEMA, frozenset({"Incident"}))
    assert typed == parameters
    assert isinstance(typed["one"], Instance)
    assert isinstance(typed["many"][0], Instance)
    assert not isinstance(typed["one"]["by"], Instance)
    assert not isinstance(typed["other"], Instance)
    assigned = run(parameters_source(typed), Incident=Incident)
    assert type(assigned["one"]) is Incident
    assert assigned == {**parameters}
    nested = typed_parameters(parameters, SCHEMA, frozenset({"Incident", "Person"}))
    assert 'Incident(**{"at": "now", "by": Person(**{"name": "A"})})' in parameters_source(nested)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        False,
        {},
        {"properties": 3},
        {"properties": {"x": {"$ref": "#/definitions/loop"}}, **{k: SCHEMA[k] for k in ("definitions",)}},
    ],
)
def test_schemas_that_say_nothing_change_nothing(schema: Any) -> None:
    assert typed_parameters({"x": {"a": [1]}}, schema, frozenset({"A"})) == {"x": {"a": [1]}}
