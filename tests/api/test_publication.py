"""Globs of assets: what they match, and that no glob takes long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_api.services.publication import glob_matches


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "data/a.csv", False),
        ("data/*.csv", "data/a.csv", True),
        ("data/*", "data/deep/a.csv", False),
        ("data/**", "data/deep/a.csv", True),
        ("data/**", "data", False),
        ("**/*.csv", "a.csv", True),
        ("**/*.csv", "x/y/a.csv", True),
        ("data/**/a.csv", "data/a.csv", True),
        ("?.py", "a.py", True),
        ("?.py", "ab.py", False),
        ("a.py", "a.py", True),
        ("a.py", "aXpy", False),
        ("*", ".hidden", True),
    ],
)
def test_globs(glob: str, path: str, matches: bool) -> None:
    assert glob_matches(glob, path) is matches


@given(st.text(alphabet="ab*?/.", max_size=12), st.text(alphabet="ab/.", max_size=12))
def test_globs_agree_with_regular_expressions(glob: str, path: str) -> None:
    if "**" in glob:
        return
    pattern = "".join({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)) for char in glob)
    assert glob_matches(glob, path) is (re.fullmatch(pattern, path) is not None)


def test_no_glob_takes_long() -> None:
    # A backtracking matcher would not come back from this one.
    assert not glob_matches("*a" * 200 + "b", "a" * 250)
    assert not glob_matches("**/" * 150 + "b", "a/" * 120 + "a")
