"""The cell with the parameters, in Python."""

import ast
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.notebook_file import code_cell

from podbook_core.notebook.injection import ParametersPlace, parameters_place, python_literal, python_source

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_python_reads_the_same_value(value: Any) -> None:
    literal = python_literal(value)
    assert literal.isascii()
    assert "\n" not in literal
    assert ast.literal_eval(literal) == value


def test_numbers_that_json_cannot_say() -> None:
    variables: dict[str, Any] = {}
    exec(python_source({"nan": math.nan, "up": math.inf, "down": [-math.inf]}), variables)  # noqa: S102 - our own text
    assert math.isnan(variables["nan"])
    assert (variables["up"], variables["down"]) == (math.inf, [-math.inf])


@pytest.mark.parametrize("text", ['"""', "'; import os #", "\\", "\n# Parameters", "\ud800", "\x00", "{name}", "😀"])
def test_no_text_ends_its_literal(text: str) -> None:
    assert python_source({"x": text, "y": {text: [text]}}).count("\n") == 3
    assert ast.literal_eval(python_literal({text: [text]})) == {text: [text]}


def test_one_line_for_each_parameter_after_the_comment() -> None:
    assert python_source({"b": 1, "größe": "x"}) == '# Parameters\nb = 1\ngröße = "x"\n'


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON value, not tuple"):
        python_source({"x": [(1, 2)]})


def test_the_place() -> None:
    plain, own, earlier = code_cell("x"), code_cell("x = 1", "parameters"), code_cell("x = 2", "injected-parameters")
    assert parameters_place([plain]) == ParametersPlace(0, replaces=False, tagged=False)
    assert parameters_place([plain, own]) == ParametersPlace(2, replaces=False, tagged=True)
    assert parameters_place([plain, own, plain, earlier, earlier]) == ParametersPlace(3, replaces=True, tagged=True)
    assert parameters_place([earlier, own]) == ParametersPlace(0, replaces=True, tagged=True)
