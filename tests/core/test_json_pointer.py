"""Places in documents are told as RFC 6901 has them, wherever they come from."""

import json
from typing import Any

import jsonpointer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.notebook.contract import ContractError, parse_contract
from podbook_core.schema.validation import ContractValidator
from podbook_core.text.json_pointer import escape, pointer, unescape


@given(st.lists(st.text() | st.integers(0, 100)))
def test_a_pointer_leads_to_what_it_was_made_of(parts: list[str | int]) -> None:
    assert jsonpointer.JsonPointer(pointer(parts)).parts == [str(part) for part in parts]


@given(st.text())
def test_names_survive(name: str) -> None:
    assert unescape(escape(name)) == name


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a/b": {"pattern": "("}}}, "/input/properties/a~1b/pattern"),
        ({"properties": {"a~b": {"type": "nothing"}}}, "/input/properties/a~0b/type"),
        ({"patternProperties": {"a/b": {"pattern": "("}}}, "/input/patternProperties/a~1b/pattern"),
        ({"properties": {"a/b": {"$ref": "#/$defs/none"}}}, "/input/properties/a~1b/$ref"),
    ],
)
def test_the_place_of_a_bad_schema_is_a_pointer_into_the_contract(schema: Any, place: str) -> None:
    def publish(validator: ContractValidator) -> None:
        validator.check_contract(parse_contract(json.dumps({"input": schema}).encode(), models=lambda _name: None))

    with ContractValidator() as validator, pytest.raises(ContractError) as caught:
        publish(validator)
    assert caught.value.place == place
    assert jsonpointer.resolve_pointer({"input": schema}, caught.value.place)
