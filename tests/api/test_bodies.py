"""Form fields become parameters of the contract's types."""

from typing import Any

import pytest

from podbook_api.services.creation.form_parameters import parameters_from_fields

SCHEMA = {
    "$defs": {"amount": {"type": "number"}},
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "flag": {"type": "boolean"},
        "maybe": {"type": ["integer", "null"]},
        "either": {"type": ["string", "integer"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"$ref": "#/$defs/amount"}},
        "amount": {"$ref": "#/$defs/amount"},
        "place": {"type": "object"},
    },
}


@pytest.mark.parametrize(
    ("name", "values", "parameter"),
    [
        ("name", ["12"], "12"),
        ("count", ["12"], 12),
        ("count", ["twelve"], "twelve"),
        ("count", ["NaN"], "NaN"),
        ("flag", ["true"], True),
        ("maybe", ["null"], None),
        ("either", ["12"], "12"),
        ("tags", ["1"], ["1"]),
        ("tags", ["a", "b"], ["a", "b"]),
        ("tags", ['["a", "b"]'], ["a", "b"]),
        ("numbers", ["1", "2.5"], [1, 2.5]),
        ("amount", ["2.5"], 2.5),
        ("place", ['{"x": 1}'], {"x": 1}),
        ("unknown", ["5"], "5"),
        ("unknown", ["5", "6"], ["5", "6"]),
    ],
)
def test_fields_are_read_as_the_contract_says(name: str, values: list[str], parameter: Any) -> None:
    assert parameters_from_fields({name: values}, SCHEMA) == {name: parameter}


@pytest.mark.parametrize("schema", [None, True, False, {}, {"properties": []}, {"properties": {"a": True}}])
def test_contracts_that_say_nothing_leave_text(schema: Any) -> None:
    assert parameters_from_fields({"a": ["1"]}, schema) == {"a": "1"}
