"""Derived names are valid where they are used, whatever they are derived from, and the same everywhere."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.text.names import (
    NOTEBOOK_NAME,
    execution_name,
    execution_name_for_key,
    idempotency_digest,
    is_execution_name,
    is_label_key,
    is_label_value,
    is_notebook_name,
    job_name,
    label_value,
    notebook_name_from_path,
    secret_name,
)

NOTEBOOKS = st.from_regex(NOTEBOOK_NAME, fullmatch=True)
# The rules of the Kubernetes API server: RFC 1123 labels and subdomains, label values.
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


@given(NOTEBOOKS)
def test_execution_names_are_labels(notebook: str) -> None:
    first, second = execution_name(notebook), execution_name(notebook)
    assert first != second
    for name in (first, second):
        assert DNS_LABEL.fullmatch(name)
        assert is_execution_name(name)


@given(NOTEBOOKS, st.text(), st.text(), st.text())
def test_a_key_leads_to_one_name(notebook: str, caller: str, other: str, key: str) -> None:
    digest = idempotency_digest(caller, notebook, key)
    assert digest == idempotency_digest(caller, notebook, key)
    assert (idempotency_digest(other, notebook, key) == digest) == (other == caller)
    name = execution_name_for_key(notebook, digest)
    assert name == execution_name_for_key(notebook, digest)
    assert DNS_LABEL.fullmatch(name)


def test_names_are_the_same_in_another_process() -> None:
    digest = idempotency_digest("alice", "analysis", "k1")
    code = "from podbook_core.text.names import *; print(execution_name_for_key('analysis', idempotency_digest('alice', 'analysis', 'k1')))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == execution_name_for_key("analysis", digest)
    assert execution_name_for_key("analysis", digest).startswith("analysis-")


@given(st.text(min_size=1, max_size=60))
def test_job_and_secret_names(uid: str) -> None:
    assert DNS_LABEL.fullmatch(job_name(uid))
    assert DNS_LABEL.fullmatch(secret_name(uid))
    # A pod's name is its Job's and six characters more, and both are label values.
    assert len(job_name(uid)) + 6 <= 63
    assert job_name(uid) == job_name(uid)


@given(st.text(max_size=200))
def test_label_values_are_valid_and_keep_texts_apart(text: str) -> None:
    value = label_value(text)
    assert LABEL_VALUE.fullmatch(value)
    assert 0 < len(value) <= 63
    if LABEL_VALUE.fullmatch(text) and 0 < len(text) <= 63:
        assert value == text


def test_label_values_of_similar_texts_differ() -> None:
    assert label_value("a b") != label_value("a_b ")
    assert label_value("a b") != label_value("a/b")
    assert label_value("x" * 64) != label_value("x" * 65)


@pytest.mark.parametrize("text", ["a", "A.b_c-1", "0", "sub.nested", "x" * 63])
def test_notebook_names(text: str) -> None:
    assert is_notebook_name(text)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "../a", "a/b", "-a", "_a", ".a", "a b", "a\n", "a\x00", "é", "名前", "x" * 64, "x" * 300, "a%2fb"]
)
def test_what_is_no_name(text: str) -> None:
    assert not is_notebook_name(text)
    assert not is_execution_name(text)


@pytest.mark.parametrize("text", ["A", "a.b", "a_b", "a-", "-a", "a\n", "x" * 64])
def test_what_is_no_execution_name(text: str) -> None:
    assert not is_execution_name(text)


@pytest.mark.parametrize(
    ("path", "name"), [("a.ipynb", "a"), ("sub/nested.ipynb", "sub.nested"), ("a/b/c.ipynb", "a.b.c"), ("x.ipynb.ipynb", "x.ipynb")]
)
def test_names_from_paths(path: str, name: str) -> None:
    assert notebook_name_from_path(path) == name


# What the API server takes and refuses as labels of an object.
@pytest.mark.parametrize(
    ("key", "good"),
    [
        ("team", True),
        ("A.b_c-9", True),
        ("example.com/team", True),
        ("a" * 63, True),
        (f"{'a' * 61}.{'b' * 63}.{'c' * 63}.{'d' * 63}/team", True),
        (f"{'a' * 62}.{'b' * 63}.{'c' * 63}.{'d' * 63}/team", False),
        ("", False),
        ("a" * 64, False),
        ("-team", False),
        ("team-", False),
        ("a b", False),
        ("/team", False),
        ("example.com/", False),
        ("Example.com/team", False),
        ("a..b/team", False),
        ("a/b/c", False),
        ("team\n", False),
        ("équipe", False),
    ],
)
def test_label_keys_are_those_of_kubernetes(key: str, good: bool) -> None:
    assert is_label_key(key) is good


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("", True),
        ("sales", True),
        ("1.2_3-x", True),
        ("a" * 63, True),
        ("a" * 64, False),
        (".a", False),
        ("a b", False),
        ("a\n", False),
    ],
)
def test_label_values_are_those_of_kubernetes(value: str, good: bool) -> None:
    assert is_label_value(value) is good
