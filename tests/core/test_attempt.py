"""Attempt manifests: what the runner writes is read back; what a notebook could write instead is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.manifest import (
    MAX_CELLS,
    MAX_MANIFEST_BYTES,
    AttemptManifest,
    CellError,
    InvalidManifestError,
    StoredFile,
)
from podbook_core.execution.model import ErrorInfo, Progress
from podbook_core.execution.reasons import INTERRUPTED, REASONS, Reason
from podbook_core.execution.verdict import AttemptEnd, judge

from .builders import DIGEST, manifest

OUTCOMES = [INTERRUPTED, *(str(reason) for reason, info in REASONS.items() if info.exit_code is not None)]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
FILES = st.builds(
    StoredFile,
    name=st.sampled_from(["output.json", "files/plot.png", "files/päpper 1.txt", "files/a/b"]),
    size=st.integers(0, 2**53),
    sha256=st.from_regex("[0-9a-f]{64}", fullmatch=True),
    media_type=st.sampled_from(["image/png", "text/plain; charset=utf-8", ""]),
)
MANIFESTS = st.builds(
    AttemptManifest,
    uid=IDS,
    attempt=IDS,
    outcome=st.sampled_from(OUTCOMES),
    message=TEXTS,
    error=st.none() | st.builds(CellError, cell=st.none() | st.integers(0, MAX_CELLS), ename=TEXTS, evalue=TEXTS),
    start_time=st.just("2025-03-01T12:00:00Z"),
    end_time=st.just("2025-03-01T12:00:01Z"),
    duration_seconds=st.floats(0, 1e8),
    cells_completed=st.integers(0, MAX_CELLS),
    cells_total=st.integers(0, MAX_CELLS),
    files=st.lists(FILES, max_size=3).map(tuple),
    runner_version=st.just("0.1.0"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def document() -> dict[str, Any]:
    """A good manifest as plain data."""
    stored = StoredFile("output.json", 2, DIGEST, "application/json")
    raw: dict[str, Any] = json.loads(manifest("CellFailed", stored, error=CellError(1, "E", "e")).to_json())
    return raw


@given(MANIFESTS)
def test_a_manifest_survives_its_text(written: AttemptManifest) -> None:
    assert AttemptManifest.from_json(written.to_json()) == written


@given(MANIFESTS)
def test_whatever_was_read_fits_into_a_status(written: AttemptManifest) -> None:
    read = AttemptManifest.from_json(written.to_json())
    verdict = judge(AttemptEnd(None, read, False, False, 1, 0))
    assert verdict.reason in Reason
    Progress(completed=read.cells_completed, total=read.cells_total)
    if read.error is not None:
        ErrorInfo(cell=read.error.cell, ename=read.error.ename, evalue=read.error.evalue)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["kind"], "Record"),
        (["outcome"], "Running"),
        (["outcome"], "Nonsense"),
        (["outcome"], None),
        *((["outcome"], str(reason)) for reason in Reason if REASONS[reason].exit_code is None),
        (["uid"], ""),
        (["uid"], "../u2"),
        (["uid"], 3),
        (["attempt"], "p1/../p2"),
        (["attempt"], "p1\n"),
        (["attempt"], "x" * 129),
        (["message"], "x" * 1025),
        (["message"], "\ud800"),
        (["error"], "E"),
        (["error"], {"cell": -1, "ename": "E", "evalue": "e"}),
        (["error"], {"cell": MAX_CELLS + 1, "ename": "E", "evalue": "e"}),
        (["error"], {"cell": True, "ename": "E", "evalue": "e"}),
        (["error"], {"cell": 1, "ename": "E" * 257, "evalue": "e"}),
        (["durationSeconds"], float("nan")),
        (["durationSeconds"], float("inf")),
        (["durationSeconds"], -1),
        (["durationSeconds"], "1"),
        (["cells"], None),
        (["cells", "completed"], 1.5),
        (["cells", "total"], MAX_CELLS + 1),
        (["files"], {}),
        (["files"], [{}] * 2001),
        (["files", 0], "output.json"),
        (["files", 0, "name"], "../record.json"),
        (["files", 0, "name"], "/etc/passwd"),
        (["files", 0, "name"], "a//b"),
        (["files", 0, "name"], "a\\b"),
        (["files", 0, "name"], "a\x00"),
        (["files", 0, "name"], "a\n"),
        (["files", 0, "name"], ""),
        (["files", 0, "size"], -1),
        (["files", 0, "size"], 2**53 + 1),
        (["files", 0, "sha256"], "A" * 64),
        (["files", 0, "sha256"], "0" * 64 + "\n"),
        (["files", 0, "mediaType"], "text/html\r\nSet-Cookie: a=b"),
        (["files", 0, "mediaType"], "text/ä"),
        (["runnerVersion"], None),
    ],
    ids=lambda value: ascii(str(value))[:50],
)
def test_what_is_refused(path: list[Any], value: Any) -> None:
    raw = document()
    node = raw
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises(InvalidManifestError):
        AttemptManifest.from_json(json.dumps(raw).encode())
    assert AttemptManifest.from_json(json.dumps(document()).encode()).outcome == "CellFailed"


@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b"9" * 5000, b" " * (MAX_MANIFEST_BYTES + 1)],
    ids=lambda data: ascii(data[:9]),
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(InvalidManifestError):
        AttemptManifest.from_json(data)


@given(st.data())
def test_no_change_of_a_manifest_raises_another_error(data: st.DataObject) -> None:
    raw = document()
    node: Any = raw
    while isinstance(node, dict | list) and node:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
            node[key] = data.draw(JSON)
            break
        node = node[key]
    try:
        read = AttemptManifest.from_json(json.dumps(raw).encode())
    except InvalidManifestError:
        return
    assert AttemptManifest.from_json(read.to_json()) == read


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_another_error(data: bytes) -> None:
    with pytest.raises(InvalidManifestError):
        AttemptManifest.from_json(data)


def test_files_by_name_and_the_reason() -> None:
    stored = StoredFile("files/a", 1, DIGEST, "text/plain")
    assert manifest("Succeeded", stored).file("files/a") == stored
    assert manifest("Succeeded", stored).file("files/b") is None
    assert manifest("Succeeded").reason is Reason.SUCCEEDED
    assert manifest(INTERRUPTED).reason is None
