"""The cell with the parameters is written as papermill writes it."""

import math
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode
from papermill.parameterize import parameterize_notebook
from papermill.translators import PythonTranslator, papermill_translators

from podbook_core.notebook.injection import injection_place, parameters_source
from podbook_core.notebook.plans import whole_notebook

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
TAGS = st.lists(st.sampled_from(["parameters", "injected-parameters", "other"]), unique=True)


@given(st.dictionaries(st.sampled_from(["a", "b_2", "É"]), VALUES))
def test_the_source_is_papermills(parameters: dict[str, Any]) -> None:
    # Its own translator, which puts what it wrote through black where that is installed.
    papermills = super(PythonTranslator, PythonTranslator).codify(parameters)  # type: ignore[no-untyped-call]
    assert parameters_source(parameters) == papermills


@settings(max_examples=50, deadline=None)
@given(st.lists(TAGS, max_size=4))
def test_the_place_is_papermills(tags: list[list[str]]) -> None:
    papermill_translators.register("python", PythonTranslator)  # type: ignore[no-untyped-call]
    cells = [nbformat.v4.new_code_cell(f"cell = {number}", metadata={"tags": item}) for number, item in enumerate(tags)]  # type: ignore[no-untyped-call]
    notebook: NotebookNode = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]
    notebook.metadata.update({"kernelspec": {"name": "python3", "language": "python"}, "papermill": {}})
    place, replaces = injection_place(cells)
    written = parameterize_notebook(notebook, {"x": 1}).cells  # type: ignore[no-untyped-call]
    before, after = [cell.source for cell in cells[:place]], [cell.source for cell in cells[place + replaces :]]
    assert [cell.source for cell in written] == [*before, parameters_source({"x": 1}), *after]
    assert written[place].metadata["tags"] == ["injected-parameters"]
    # The plan of the whole notebook runs the same cells in the same order, and its document has them so.
    plan = whole_notebook(cells, parameters_source({"x": 1}))
    sources = [cells[step.cell or 0].source if step.injected is None else step.injected.source for step in plan.steps]
    assert sources == [cell.source for cell in written]
    assert [item.step for item in plan.places(len(cells))] == list(range(len(plan.steps)))


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -0.0, 1e300, 5e-324, 10**400, True, "\ud83d", "😀", 'a"b\\"c', "\\N{DASH}", "a\r\n\tb", "{x}"],
)
def test_the_source_is_papermills_for_odd_values(value: Any) -> None:
    parameters = {"x": value, "größe": {"k": value, "": [value]}, "_": [[[{}]], None]}
    papermills = super(PythonTranslator, PythonTranslator).codify(parameters)  # type: ignore[no-untyped-call]
    assert parameters_source(parameters) == papermills
