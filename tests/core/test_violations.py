"""Messages say where, what is wrong, and what would be right."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.source_tree import ROOT

from podbook_core.schema.violations import FORMATS, MAX_VIOLATIONS, Violation, find_violations, validator_for

CLOSED = {
    "type": "object",
    "properties": {
        "customer_name": {"type": "string", "description": "Who pays"},
        "year": {"type": "integer", "minimum": 2000, "maximum": 2100},
        "mode": {"enum": ["fast", "exact"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1},
    },
    "required": ["customer_name", "year"],
    "additionalProperties": False,
}
GOOD: dict[str, Any] = {"customer_name": "ACME", "year": 2024}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"year": 2024}, Violation("/customer_name", "is missing", "a string (Who pays)")),
        ({**GOOD, "year": "2024"}, Violation("/year", 'is a string ("2024")', "an integer")),
        ({**GOOD, "year": 1999}, Violation("/year", "is 1999", "at least 2000")),
        ({**GOOD, "year": 2101}, Violation("/year", "is 2101", "at most 2100")),
        ({**GOOD, "mode": "slow"}, Violation("/mode", 'is "slow"', 'one of "fast", "exact"')),
        ({**GOOD, "customer_nmae": 1}, Violation("/customer_nmae", "is not a known name", "'customer_name' (did you mean that?)")),
        ({**GOOD, "zzz": 1}, Violation("/zzz", "is not a known name", "one of customer_name, mode, tags, year")),
        ({**GOOD, "tags": []}, Violation("/tags", "has 0 items", "at least 1")),
        ({**GOOD, "tags": ["ok", "long"]}, Violation("/tags/1", "has 4 characters", "at most 3")),
        ({**GOOD, "tags": ["ok", None]}, Violation("/tags/1", "is null (null)", "a string")),
        ([], Violation("", "is an array ([])", "an object")),
    ],
)
def test_one_mistake_is_one_violation(value: Any, expected: Violation) -> None:
    assert find_violations(CLOSED, value) == [expected]


def test_what_is_right_has_none() -> None:
    assert find_violations(CLOSED, GOOD) == []
    assert find_violations(True, object()) == []


def test_several_mistakes_come_nearest_to_the_root_first() -> None:
    found = find_violations(CLOSED, {"tags": ["long"], "year": "x"})
    assert [item.path for item in found] == ["/customer_name", "/year", "/tags/0"]


def test_every_missing_name_is_named_once() -> None:
    names = ["a", "b", "a'b", "ab"]
    found = find_violations({"required": names}, {})
    assert sorted(item.path for item in found) == ["/a", "/a'b", "/ab", "/b"]


def test_names_that_match_a_pattern_are_known() -> None:
    schema = {"properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": False}
    found = find_violations(schema, {"a": 1, "x1": 2, "bad": 3, "worse": 4})
    assert [item.path for item in found] == ["/bad", "/worse"]


def test_unevaluated_names_are_unknown() -> None:
    schema = {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}
    assert [item.path for item in find_violations(schema, {"a": 1, "b": 2})] == ["/b"]


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"const": 3}, 4, "one of 3"),
        ({"pattern": "^a$"}, "b", "a text that matches ^a$"),
        ({"format": "ipv4"}, "x", "a text in the format ipv4"),
        ({"exclusiveMinimum": 1}, 1, "more than 1"),
        ({"exclusiveMaximum": 1}, 1, "less than 1"),
        ({"multipleOf": 2}, 3, "a multiple of 2"),
        ({"minLength": 2}, "é", "at least 2"),
        ({"maxItems": 0}, [1], "at most 0"),
        ({"minProperties": 1}, {}, "at least 1"),
        ({"type": ["integer", "null"]}, "x", "an integer or null"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 3, "what the schema says under anyOf"),
        ({"uniqueItems": True}, [1, 1], "what the schema says under uniqueItems"),
        (False, 1, "what the schema says under None"),
    ],
)
def test_what_would_be_right(schema: Any, value: Any, expected: str) -> None:
    assert [item.expected for item in find_violations(schema, value)] == [expected]


def test_paths_are_json_pointers() -> None:
    found = find_violations({"properties": {"a/b~c": {"items": {"type": "null"}}}}, {"a/b~c": [None, 1]})
    assert [item.path for item in found] == ["/a~1b~0c/1"]


def test_a_sentence_for_people() -> None:
    assert Violation("/year", "is 1", "at least 2").sentence() == "/year: is 1; expected at least 2"
    assert Violation("", "is 1", "an object").sentence() == "(the whole value): is 1; expected an object"


def test_draft_07_and_2020_12_are_told_apart() -> None:
    draft_07 = {"items": [{"type": "integer"}], "additionalItems": False}
    assert [item.path for item in find_violations(draft_07, ["x"])] == ["/0"]
    assert [item.path for item in find_violations({"prefixItems": [{"type": "integer"}]}, ["x"])] == ["/0"]
    named = {"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{"type": "integer"}]}
    assert find_violations(named, ["x"]) == []


def test_messages_are_bounded() -> None:
    found = find_violations({"additionalProperties": False, "properties": {}}, {f"{number}" * 500: 0 for number in range(100)})
    assert len(found) == MAX_VIOLATIONS
    assert all(len(item.sentence()) < 300 for item in found)
    huge = find_violations({"anyOf": [{"type": "string"}]}, ["x" * 10_000])
    assert len(huge[0].sentence()) < 500


TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "array": list,
    "object": dict,
    "boolean": bool,
    "null": type(None),
}


@given(
    st.sampled_from(sorted(TYPES)),
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.lists(st.none(), max_size=2)
    | st.dictionaries(st.text(), st.none()),
)
def test_types_are_what_they_are_called(name: str, value: Any) -> None:
    assert (find_violations({"type": name}, value) == []) == isinstance(value, TYPES[name])


@pytest.mark.parametrize(
    "schema", [{"format": "date-time"}, {"$schema": "http://json-schema.org/draft-07/schema#", "format": "date-time"}]
)
def test_a_date_time_may_be_as_python_writes_it(schema: dict[str, Any]) -> None:
    moment = datetime(2021, 1, 31, 12, 30, 15, 250000, tzinfo=UTC)
    for value in (moment, moment.replace(tzinfo=None), moment.replace(microsecond=0)):
        assert find_violations(schema, value.isoformat()) == []
        assert find_violations(schema, str(value)) == []
    for wrong in (
        "nonsense",
        "",
        "2021-01-31",
        "2021-01-31 ",
        "2021-02-31 12:30:15",
        "2021-01-31  12:30:15",
        "2021-01-31 12:30:15 Z",
    ):
        assert len(find_violations(schema, wrong)) == 1
    assert find_violations(schema, 5) == []


def test_the_formats_that_are_checked_do_not_depend_on_what_is_installed() -> None:
    checker: Any = getattr(validator_for({"type": "string"}), "format_checker")  # noqa: B009 - the Protocol lacks it
    assert set(checker.checkers) == FORMATS
    text = (ROOT / "docs" / "how-to" / "write-a-contract.md").read_text()
    sentence = text.partition("Of the values of `format`, these are checked: ")[2].partition(".")[0]
    assert set(re.findall(r"`([^`]+)`", sentence)) == FORMATS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("date", "2026-13-01"),
        ("date-time", "yesterday"),
        ("email", "x"),
        ("idn-email", "x"),
        ("idn-hostname", "a..b"),
        ("ipv4", "1.2.3"),
        ("ipv6", "12345::"),
        ("json-pointer", "a"),
        ("regex", "("),
        ("relative-json-pointer", "/"),
        ("time", "25 o'clock"),
        ("uuid", "x"),
    ],
)
def test_every_format_is_checked(name: str, value: str) -> None:
    assert [item.path for item in find_violations({"format": name}, value)] == [""]
