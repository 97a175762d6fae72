"""What a notebook answers to, and what becomes of two that would answer to the same."""

import pytest

from podbook_core.notebook.contract import Contract
from podbook_core.notebook.identity import clashing_ids, name_from_path, notebook_id, notebook_path
from podbook_core.notebook.versions import Version


def version(name: str, identity: str | None = None, path: str | None = None) -> Version:
    """A stored version."""
    return Version(name, "v", "2026-01-01T00:00:00Z", Contract(id=identity), "n", None, None, (), path=path)


def test_an_id_is_the_contracts_else_the_path_else_the_name() -> None:
    assert notebook_id(version("a.b", "x", "a/b.ipynb")) == "x"
    assert notebook_id(version("a.b", path="a/b.ipynb")) == "a/b"
    assert notebook_id(version("a.b")) == notebook_path(version("a.b")) == "a.b"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a", "a"),
        ("a/b", "a.b"),
        ("a/b.ipynb", "a.b"),
        ("a.b", "a.b"),
        ("../a", None),
        ("a//b", None),
        ("/a", None),
        ("a/", None),
        ("", None),
        ("a b", None),
        ("a/./b", None),
    ],
)
def test_a_path_leads_to_one_name(path: str, name: str | None) -> None:
    assert name_from_path(path) == name


def test_a_notebook_that_cannot_be_called_by_its_id_is_told() -> None:
    assert clashing_ids([version("a", "x"), version("b", "y"), version("c")]) == {}
    assert clashing_ids([version("a", "a")]) == {}
    assert set(clashing_ids([version("b", "x"), version("a", "x")])) == {"b"}
    assert "means the notebook c" in clashing_ids([version("a", "c"), version("c")])["a"]
    assert "means the notebook s.c" in clashing_ids([version("a", "s/c"), version("s.c", path="s/c.ipynb")])["a"]
