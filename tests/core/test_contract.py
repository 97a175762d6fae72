"""Contracts are hostile input: what they may say, and what each mistake is answered with."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podbook_core.notebook.contract import MAX_CONTRACT_BYTES, RESERVED_KEYS, Contract, ContractError, parse_contract, read_contract
from podbook_core.schema.violations import find_violations

MODELS = {
    "address": {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://example.org/a", "type": "object"},
    "person": {"type": "object", "properties": {"friend": {"$ref": "nbschema://person"}, "home": {"$ref": "nbschema://place"}}},
    "place": {
        "properties": {"owner": {"$ref": "nbschema://person"}, "kind": {"$ref": "#/$defs/kind"}},
        "$defs": {"kind": {"enum": ["x"]}},
    },
    "root": {"properties": {"again": {"$ref": "#"}}},
}


def load(name: str) -> bytes | None:
    """The schema file of a model."""
    return json.dumps(MODELS[name]).encode() if name in MODELS else None


def parse(raw: Any) -> Contract:
    """Parse what a file says; text stands for itself."""
    return parse_contract(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), models=load)


def refused(raw: Any) -> ContractError:
    """The error a contract is refused with."""
    with pytest.raises(ContractError) as caught:
        parse(raw)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return caught.value


def test_a_whole_contract() -> None:
    contract = parse(
        {
            "id": "revenue",
            "title": "Revenue",
            "description": "What was earned.",
            "input": {"type": "object", "properties": {"year": {"type": "integer"}}},
            "output": True,
            "assets": ["data/*.csv", "helpers.py"],
            "profile": "large",
            "timeoutSeconds": 30,
            "retries": 2,
        }
    )
    assert contract == Contract(
        "revenue",
        "Revenue",
        "What was earned.",
        {"type": "object", "properties": {"year": {"type": "integer"}}},
        True,
        ("data/*.csv", "helpers.py"),
        "large",
        30,
        2,
    )


def test_an_empty_contract_and_a_byte_order_mark() -> None:
    assert parse({}) == Contract()
    assert parse(b"\xef\xbb\xbf{}") == Contract()
    assert Contract().document() == {}


def test_a_jupyrest_contract_is_valid_as_it_is() -> None:
    contract = parse(
        {
            "id": "portfolio_analysis",
            "input": {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "type": "object",
                "properties": {"tickers": {"type": "array", "items": {"type": "string"}}, "person": {"$ref": "nbschema://person"}},
                "required": ["tickers"],
            },
            "output": {"type": "object", "properties": {"total": {"type": "number"}}},
        }
    )
    assert contract.id == "portfolio_analysis"
    assert isinstance(contract.input, dict)
    assert find_violations(contract.input, {"tickers": ["A"], "person": {"friend": {"home": {"kind": "x"}}}}) == []
    found = find_violations(contract.input, {"tickers": ["A"], "person": {"friend": {"home": {"kind": "y"}}}})
    assert [item.path for item in found] == ["/person/friend/home/kind"]


def test_models_may_refer_to_one_another_in_circles() -> None:
    schema = parse({"input": {"properties": {"a": {"$ref": "nbschema://person"}, "b": {"$ref": "nbschema://address"}}}}).input
    assert isinstance(schema, dict)
    assert set(schema["definitions"]) == {"person", "place", "address"}
    assert schema["definitions"]["address"] == {"type": "object"}
    assert schema["definitions"]["place"]["properties"]["kind"] == {"$ref": "#/definitions/place/$defs/kind"}
    assert "nbschema" not in json.dumps(schema)


def test_the_root_of_a_model_is_the_model() -> None:
    schema = parse({"input": {"$ref": "nbschema://root"}}).input
    assert isinstance(schema, dict)
    assert schema["definitions"]["root"]["properties"]["again"] == {"$ref": "#/definitions/root"}


def test_a_long_chain_of_models() -> None:
    chain = {f"m{number}": json.dumps({"$ref": f"nbschema://m{number + 1}"}).encode() for number in range(2000)}
    chain["m2000"] = b'{"type": "integer"}'
    schema = parse_contract(b'{"input": {"$ref": "nbschema://m0"}}', models=chain.get).input
    assert isinstance(schema, dict)
    assert len(schema["definitions"]) == 2001


@pytest.mark.parametrize(
    ("raw", "place", "problem"),
    [
        (b"", "", "is not valid JSON: Expecting value at line 1, column 1"),
        (b"{", "", "is not valid JSON"),
        (b"[]", "", "must be a JSON object"),
        (b"\xff\xfe{}", "", "is not UTF-8"),
        (b"[" * 100_000, "", "is nested too deeply"),
        (b'{"input": {"default": ' + b"[" * 199 + b"]" * 199 + b"}}", "", "is nested too deeply; at most 200 levels"),
        (b'{"input": {"default": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}", "", "is nested too deeply"),
        (b'{"timeoutSeconds": NaN}', "", "NaN is not a number"),
        (b'{"input": {"maximum": -Infinity}}', "", "-Infinity is not a number"),
        (b'{"input": {"maximum": 1e999}}', "", "1e999 is not a number"),
        (b'{"input": {"maximum": 1' + b"0" * 5000 + b"}}", "", "too many digits"),
        (b'{"description": "\\ud800"}', "", "half of a surrogate pair"),
        (b"x" * (MAX_CONTRACT_BYTES + 1), "", "at most 262144"),
        ({"inputs": {}}, "/inputs", "is not a known key; known are id, title"),
        ({"a/b~c": 1}, "/a~1b~0c", "is not a known key"),
        ({"id": 3}, "/id", "must be a string"),
        ({"title": "x" * 201}, "/title", "at most 200"),
        ({"timeoutSeconds": 0}, "/timeoutSeconds", "an integer from 1 to 259200"),
        ({"timeoutSeconds": True}, "/timeoutSeconds", "an integer"),
        ({"timeoutSeconds": 1.5}, "/timeoutSeconds", "an integer"),
        ({"retries": 5}, "/retries", "from 0 to 4"),
        ({"input": []}, "/input", "must be a JSON object"),
        ({"input": {"$schema": "http://json-schema.org/draft-04/schema#"}}, "/input/$schema", "2020-12 or draft-07"),
        ({"input": {"$schema": 7}}, "/input/$schema", "2020-12 or draft-07"),
        ({"input": {"$ref": "https://example.org/s.json"}}, "/input/$ref", "is not a local reference"),
        ({"input": {"$ref": "file:///etc/passwd"}}, "/input/$ref", "is not a local reference"),
        ({"input": {"$ref": "other.json#/a"}}, "/input/$ref", "is not a local reference"),
        ({"input": {"$ref": 7}}, "/input/$ref", "must be a string"),
        ({"input": {"$dynamicRef": "https://example.org/"}}, "/input/$dynamicRef", "is not a local reference"),
        ({"input": {"$ref": "#/$defs/missing"}}, "/input/$ref", "does not exist"),
        ({"input": {"properties": {"a": {"$ref": "#nowhere"}}}}, "/input/properties/a/$ref", "does not exist"),
        ({"input": {"$dynamicRef": "#nowhere"}}, "/input/$dynamicRef", "does not exist"),
        ({"input": {"$defs": {"a": {"$id": "https://example.org/"}}}}, "/input/$defs/a/$id", "is not supported below the root"),
        ({"input": {"x": [{"$ref": "http://x"}]}}, "/input/x/0/$ref", "is not a local reference"),
        ({"input": {"properties": {"a/b": {"$ref": "http://x"}}}}, "/input/properties/a~1b/$ref", "is not a local reference"),
        ({"output": {"$ref": "nbschema://nobody"}}, "/output/$ref", "nbschema://nobody is unknown: there is no models/nobody.json"),
        ({"input": {"$ref": "nbschema://../secret"}}, "/input/$ref", "is unknown"),
        ({"input": {"$ref": "nbschema://"}}, "/input/$ref", "is unknown"),
        ({"input": {"$ref": "nbschema://person", "definitions": {"person": {}}}}, "/input/definitions/person", "name of the model"),
        ({"input": {"$ref": "nbschema://person", "definitions": []}}, "/input/definitions", "must be a JSON object"),
        ({"assets": "x"}, "/assets", "must be a list"),
        ({"assets": ["x"] * 201}, "/assets", "at most 200"),
        ({"assets": [""]}, "/assets/0", "must be a glob"),
        ({"assets": ["ok", 3]}, "/assets/1", "must be a glob"),
        ({"assets": ["../x"]}, "/assets/0", "inside the notebook's folder"),
        ({"assets": ["a/../../x"]}, "/assets/0", "inside the notebook's folder"),
        ({"assets": ["/etc/passwd"]}, "/assets/0", "inside the notebook's folder"),
        ({"assets": ["~/x"]}, "/assets/0", "inside the notebook's folder"),
        ({"assets": ["a\\b"]}, "/assets/0", "inside the notebook's folder"),
        ({"assets": ["a\x00b"]}, "/assets/0", "inside the notebook's folder"),
    ],
    ids=lambda value: ascii(str(value))[:60],
)
def test_what_is_refused(raw: Any, place: str, problem: str) -> None:
    error = refused(raw)
    assert error.place == place
    assert problem in error.problem


@pytest.mark.parametrize("key", RESERVED_KEYS)
def test_reserved_keys(key: str) -> None:
    assert "is reserved" in refused({key: {}}).problem


def test_a_mistake_in_a_model_names_the_model() -> None:
    with pytest.raises(ContractError, match=r"/input/\$ref → models/m\.json: is not valid JSON"):
        parse_contract(b'{"input": {"$ref": "nbschema://m"}}', models=lambda _: b"{")
    with pytest.raises(ContractError, match=r"the models are .* at most 262144"):
        parse_contract(b'{"input": {"$ref": "nbschema://m"}}', models=lambda _: b" " * MAX_CONTRACT_BYTES + b"{}")


def test_deep_schemas() -> None:
    def nested(depth: int) -> Any:
        schema: Any = {"type": "integer"}
        for _ in range(depth):
            schema = {"not": schema}
        return {"input": schema}

    assert parse(nested(60)).input
    assert "nested more than 64 levels" in refused(nested(70)).problem


def test_values_are_not_taken_for_schemas() -> None:
    values = {
        "const": {"$ref": "http://x"},
        "default": {"$id": "x"},
        "enum": [{"$ref": "http://y"}],
        "examples": [{"$ref": "http://z"}],
    }
    schema = {"properties": {"$ref": {"type": "string"}, "a": values}}
    assert parse({"input": schema}).input == schema


def test_references_by_anchor_and_escaped_pointers() -> None:
    schema = {"$defs": {"a b/c~d": {"$anchor": "here"}}, "anyOf": [{"$ref": "#here"}, {"$ref": "#/$defs/a%20b~1c~0d"}]}
    assert parse({"input": schema}).input == schema


def test_a_stored_contract_may_have_grown() -> None:
    schema = {"enum": [str(number) for number in range(20_000)]}
    contract = parse(json.dumps({"input": schema}, separators=(",", ":")).encode())
    stored = json.dumps(contract.document(), indent=1).encode()
    stored += b" " * MAX_CONTRACT_BYTES
    assert read_contract(stored) == contract


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(["string", "integer"]), "default": JSON, "title": st.text(max_size=5)}
    )
    | st.sampled_from([{"$ref": "#"}, {"$ref": "nbschema://person"}, {"$ref": "nbschema://root"}]),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"properties": st.dictionaries(st.text(max_size=5), inner, max_size=3), "not": inner, "anyOf": st.lists(inner)}
    ),
    max_leaves=8,
)


# Hypothesis' own clock, not ours: on a new machine the first draw builds its tables of Unicode.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS, SCHEMAS)
def test_what_was_accepted_is_accepted_as_stored_and_means_the_same(first: Any, second: Any) -> None:
    contract = parse({"input": first, "output": second, "assets": ["a"]})
    assert read_contract(json.dumps(contract.document()).encode()) == contract


@given(JSON | st.dictionaries(st.sampled_from(["input", "output", "assets", "id", "retries"]), JSON))
def test_any_json_is_a_contract_or_refused(raw: Any) -> None:
    try:
        contract = parse(raw)
    except ContractError:
        return
    assert parse(contract.document()) == contract


@given(st.binary(max_size=60))
def test_any_bytes_are_a_contract_or_refused(data: bytes) -> None:
    try:
        contract = parse(data)
    except ContractError:
        return
    assert parse(contract.document()) == contract
