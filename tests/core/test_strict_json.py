"""What counts as JSON, wherever it comes from."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.text.strict_json import InvalidJsonError, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_can_say_is_read(value: Any) -> None:
    assert parse(json.dumps(value).encode(), limit=10**6, what="it") == value
    assert parse(json.dumps(value, ensure_ascii=False).encode(), limit=10**6, what="it") == value


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "Expecting value at line 1, column 1"),
        (b'{"a": 1,\n "b"}', "at line 2, column 5"),
        (b"NaN", "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"1e999", "1e999 is not a number"),
        (b"9" * 5000, "a number has too many digits"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\udfff": 1}', "half of a surrogate pair"),
        ('"\ud800"', "half of a surrogate pair"),
        (b'"\xed\xa0\x80"', "it is not UTF-8"),
        (b"\xff\xfe[\x00]\x00", "it is not UTF-8"),
        (b"[" * 101 + b"]" * 101, "nested too deeply; at most 100 levels are allowed"),
        (b"[" * 100_000, "nested too deeply; at most 100 levels are allowed"),
    ],
)
def test_what_is_refused_says_why(data: bytes | str, problem: str) -> None:
    with pytest.raises(InvalidJsonError) as caught:
        parse(data, limit=200_000, what="the request body")
    assert str(caught.value).startswith("the request body is not valid JSON: ")
    assert problem in str(caught.value)
    assert not caught.value.too_large


def test_what_is_too_large_is_not_read() -> None:
    with pytest.raises(InvalidJsonError, match="the contract has 11 bytes; at most 10 are allowed") as caught:
        parse(b"not JSON at", limit=10, what="the contract")
    assert caught.value.too_large


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse(b"\xef\xbb\xbf[1]", limit=100, what="it") == [1]


def test_notebooks_may_hold_what_their_cells_put_out() -> None:
    read = parse(b'[NaN, -Infinity, "\\ud800"]', limit=100, what="the notebook", as_jupyter_writes=True)
    assert str(read) == str([float("nan"), float("-inf"), "\ud800"])
