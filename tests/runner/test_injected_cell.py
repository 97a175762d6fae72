"""Core's cell with the parameters against papermill's own: the same text, at the same place."""

import math
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from papermill.parameterize import parameterize_notebook
from papermill.translators import PythonTranslator
from tests.notebook_file import code_cell, markdown_cell, notebook_document

from podbook_core.notebook.injection import python_source
from podbook_core.notebook.plans import whole_notebook
from podbook_core.text.parameter_names import is_variable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
NAMES = st.from_regex(r"[A-Za-z_]\w{0,10}", fullmatch=True).filter(lambda name: is_variable(name, "python"))
CELLS = st.lists(
    st.builds(
        lambda text, tags: {**code_cell(text), "metadata": {"tags": tags}},
        st.sampled_from(["x = 1", "pass"]),
        st.lists(st.sampled_from(["parameters", "injected-parameters", "other"]), unique=True, max_size=3),
    )
    | st.just(markdown_cell("text") | {"metadata": {"tags": []}}),
    max_size=6,
)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4))
def test_the_text_is_papermills(parameters: dict[str, Any]) -> None:
    assert python_source(parameters) == PythonTranslator.codify(parameters)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        1e300,
        5e-324,
        10**400,
        True,
        "\ud83d",
        "😀",
        'a"b\\"c',
        "\\N{DASH}",
        "a\r\n\tb",
        "{x}",
        [[[{}]]],
    ],
)
def test_the_text_is_papermills_for_odd_values(value: Any) -> None:
    parameters = {"x": value, "größe": {"k": value}, "_": [value, None]}
    assert python_source(parameters) == PythonTranslator.codify(parameters)  # type: ignore[no-untyped-call]


@given(CELLS)
def test_the_place_is_papermills(cells: list[dict[str, Any]]) -> None:
    source = python_source({"x": 2})
    document = nbformat.from_dict(  # type: ignore[no-untyped-call]
        {**notebook_document(cells), "metadata": {**notebook_document([])["metadata"], "papermill": {}}}
    )
    theirs = parameterize_notebook(document, {"x": 2}, kernel_name="python3", language="python")  # type: ignore[no-untyped-call]
    plan = whole_notebook(cells, source)
    ours = [cells[step.cell]["source"] if step.injected is None and step.cell is not None else source for step in plan.steps]
    assert ours == [cell.source for cell in theirs.cells]
    places = [step.cell for step in plan.steps]
    assert [place.cell for place in plan.places(len(cells))] == places
