"""Reading a notebook with everything that belongs to it from disk."""

import json
from pathlib import Path

import pytest

from podbook_core.notebook.folder import SourceError, find_notebooks, read_source

NOTEBOOK = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def write(folder: Path, name: str, content: bytes | str | dict[str, object]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(content).encode() if isinstance(content, dict) else content.encode() if isinstance(content, str) else content
    path.write_bytes(data)
    return path


def test_a_notebook_alone_has_no_contract_and_no_assets(tmp_path: Path) -> None:
    path = write(tmp_path, "plain.ipynb", NOTEBOOK)
    source = read_source(tmp_path, path)
    assert (source.name, source.notebook, source.contract, source.contract_file) == ("plain", NOTEBOOK, None, None)
    assert (source.models, source.assets, source.files) == ({}, (), (path,))


def test_contract_models_and_assets_come_along(tmp_path: Path) -> None:
    path = write(tmp_path, "sub/report.ipynb", NOTEBOOK)
    config = write(
        tmp_path,
        "sub/report.config.json",
        {"input": {"$ref": "nbschema://customer"}, "assets": ["data/*.csv", "lib/**", "data/a.csv"]},
    )
    model = write(tmp_path, "models/customer.json", {"type": "object"})
    write(tmp_path, "sub/data/b.csv", "b")
    write(tmp_path, "sub/data/a.csv", "a")
    write(tmp_path, "sub/data/.hidden.csv", "no")
    write(tmp_path, "sub/data/c.txt", "no")
    write(tmp_path, "sub/lib/deep/module.py", "pass")

    source = read_source(tmp_path, path)

    assert source.name == "sub.report"
    assert [(asset.path, asset.data) for asset in source.assets] == [
        ("data/a.csv", b"a"),
        ("data/b.csv", b"b"),
        ("lib/deep/module.py", b"pass"),
    ]
    assert source.models == {"customer": model.read_bytes()}
    assert source.contract_file == config.read_bytes()
    assert source.contract is not None
    assert source.contract.input == {"$ref": "#/definitions/customer", "definitions": {"customer": {"type": "object"}}}
    assert {config, model, path} < set(source.files)


@pytest.mark.parametrize(
    ("config", "place", "problem"),
    [
        ({"assets": ["data/*.csv"]}, "data/*.csv", "matches no file"),
        ({"assets": ["../secret"]}, "report.config.json", "/assets/0"),
        ({"cache": True}, "report.config.json", "reserved"),
        ({"input": {"$ref": "nbschema://missing"}}, "report.config.json", "models/missing.json"),
        ({"assets": ["out/*"]}, "out/key", "points outside"),
    ],
)
def test_what_cannot_be_published_is_refused_with_its_place(
    tmp_path: Path, config: dict[str, object], place: str, problem: str
) -> None:
    outside = write(tmp_path, "outside/key", "secret")
    folder = tmp_path / "notebooks"
    path = write(folder, "report.ipynb", NOTEBOOK)
    write(folder, "report.config.json", config)
    (folder / "out").mkdir()
    (folder / "out" / "key").symlink_to(outside)
    with pytest.raises(SourceError) as caught:
        read_source(folder, path)
    assert caught.value.place == place
    assert problem in caught.value.problem
    assert str(tmp_path) not in str(caught.value)


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "my notes.ipynb", NOTEBOOK)
    with pytest.raises(SourceError, match="is not a valid notebook name"):
        read_source(tmp_path, path)
    assert read_source(tmp_path, path, name="notes").name == "notes"


def test_a_missing_notebook_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.ipynb: does not exist"):
        read_source(tmp_path, tmp_path / "gone.ipynb")


def test_hidden_notebooks_are_not_found(tmp_path: Path) -> None:
    kept = [write(tmp_path, name, NOTEBOOK) for name in ("a.ipynb", "sub/b.ipynb")]
    write(tmp_path, ".ipynb_checkpoints/a-checkpoint.ipynb", NOTEBOOK)
    write(tmp_path, "sub/.c.ipynb", NOTEBOOK)
    assert find_notebooks(tmp_path) == kept
