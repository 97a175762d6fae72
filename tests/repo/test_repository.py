"""What must hold for the tree as a whole."""

import ast
import re
from pathlib import Path

import pytest
from tests.source_tree import PACKAGES, ROOT, tracked

MODULE_LINES = 400
NO_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py"}


def modules() -> list[Path]:
    """Every module of the programs."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_no_package_shadows_the_standard_library() -> None:
    # operator/__init__.py would be imported instead of the standard library's operator.
    for folder in ("operator", "core", "cluster", "api", "client", "runner-image", "helm", "notebooks", "tests"):
        assert not (ROOT / folder / "__init__.py").exists(), folder


def test_no_lock_file_with_download_addresses() -> None:
    assert not [path for path in tracked() if path.name in ("uv.lock", "poetry.lock", "Pipfile.lock")]


def test_no_file_knows_this_machine() -> None:
    pattern = re.compile(
        rb"/(?:home|Users)/[a-z]\w*/|/root/\.(?!cache/podbook)|--index-url|--extra-index-url|index-url\s*=|"
        rb"artifactory|/simple/?\s*$|:\d+/(?:pypi|npm|goproxy)",
        re.MULTILINE,
    )
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue
        data = path.read_bytes()
        hit = None if b"\0" in data[:1000] else pattern.search(data)
        if hit is not None:
            found.append(f"{path.relative_to(ROOT)}: {hit.group().decode()}")
    assert found == []


def test_requirements_are_hashed() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        pinned = re.findall(r"^([A-Za-z0-9._-]+(?:\[[^]]*\])?)==\S+.*?(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
        blocks = re.split(r"^(?=[A-Za-z0-9])", path.read_text(), flags=re.MULTILINE)[1:]
        assert pinned, path.name
        assert all("--hash=sha256:" in block for block in blocks), path.name


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES
    assert path.name not in NO_NAMES
    assert len((ast.get_docstring(ast.parse(text)) or "").split()) >= 4, "a module says in a sentence what it is"


def test_the_core_is_there() -> None:
    assert len(modules()) > 20


def test_everything_is_licensed() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("image", ["api", "operator", "runner-image"])
def test_what_an_image_copies_is_sent_to_its_build(image: str) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / image / "Dockerfile").read_text(), re.MULTILINE)
    folders = {word for line in copied for word in line.split() if (ROOT / word).is_dir()}
    assert "cluster" in folders
    assert folders - sent == set()
