"""What one attempt did: ``attempts/<attempt>/result.json``, written last by the runner.

The kernel runs as the runner's user and could write a manifest of its own, so every reader parses it strictly and trusts only
digests it has checked. Standard library only: the runner writes it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podbook_core.execution.reasons import INTERRUPTED, REASONS, Reason

__all__ = ["AttemptManifest", "CellError", "InvalidManifestError", "OutputCheck", "Pages", "StoredFile"]

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_MESSAGE = 1024
MAX_CELLS = 1_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_MEDIA_TYPE = re.compile(r"[\x20-\x7e]{0,256}\Z")
_OUTCOMES = frozenset({INTERRUPTED} | {str(reason) for reason, info in REASONS.items() if info.exit_code is not None})
"""What a runner can say. Reasons only others can find, such as Cancelled or Evicted, are none of them."""
_NAME = re.compile(r"[^\x00-\x1f\x7f\\]{1,512}\Z")


class InvalidManifestError(Exception):
    """A manifest that is not of the documented shape; says where."""


@dataclass(frozen=True, slots=True)
class CellError:
    """Where and how a notebook failed (``ename`` and ``evalue`` as in the Jupyter messaging protocol)."""

    cell: int | None
    """Index of the cell in the notebook as it was published, counted from 0; None where it is none of its cells."""
    ename: str
    evalue: str


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One object the attempt wrote. ``name`` is relative to the attempt's prefix, e.g. ``output.json`` or ``files/plot.png``."""

    name: str
    size: int
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Pages:
    """Whether the HTML pages that were asked for could be rendered."""

    rendered: bool
    message: str = ""
    """Why not, in a sentence."""


@dataclass(frozen=True, slots=True)
class OutputCheck:
    """Whether the output keeps its contract, where one that does not is reported and fails nothing."""

    valid: bool
    message: str = ""
    """What is wrong with it, in a sentence."""


@dataclass(frozen=True, slots=True)
class AttemptManifest:
    """The result of one attempt. Times are RFC 3339 in UTC, by the runner's clock: for people, not for decisions."""

    uid: str
    attempt: str
    outcome: str
    """A :class:`~podbook_core.execution.reasons.Reason` that has an exit code, or ``Interrupted``."""
    message: str
    error: CellError | None
    start_time: str
    end_time: str
    duration_seconds: float
    cells_completed: int
    cells_total: int
    files: tuple[StoredFile, ...]
    runner_version: str
    pages: Pages | None = None
    """None where no page was asked for, none was tried, or a runner before 0.2 wrote the manifest."""
    output: OutputCheck | None = None
    """None where an output that breaks its contract fails the run, and where there is no contract."""

    def file(self, name: str) -> StoredFile | None:
        """The file of that name, if the attempt wrote it."""
        return next((item for item in self.files if item.name == name), None)

    @property
    def reason(self) -> Reason | None:
        """The outcome as a reason, None for an interrupted attempt."""
        return None if self.outcome == INTERRUPTED else Reason(self.outcome)

    def to_json(self) -> bytes:
        """The document, as UTF-8 JSON with camelCase names."""
        document: dict[str, Any] = {
            "apiVersion": "podbook.dev/v1alpha1",
            "kind": "AttemptManifest",
            "uid": self.uid,
            "attempt": self.attempt,
            "outcome": self.outcome,
            "message": self.message,
            "error": None
            if self.error is None
            else {"cell": self.error.cell, "ename": self.error.ename, "evalue": self.error.evalue},
            "startTime": self.start_time,
            "endTime": self.end_time,
            "durationSeconds": self.duration_seconds,
            "cells": {"completed": self.cells_completed, "total": self.cells_total},
            "files": [{"name": f.name, "size": f.size, "sha256": f.sha256, "mediaType": f.media_type} for f in self.files],
            "runnerVersion": self.runner_version,
        }
        if self.pages is not None:
            document["pages"] = {"rendered": self.pages.rendered, "message": self.pages.message}
        if self.output is not None:
            document["output"] = {"valid": self.output.valid, "message": self.output.message}
        return json.dumps(document, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "AttemptManifest":
        """Read a manifest as the untrusted input it is.

        Raises:
            InvalidManifestError: it is too large, no JSON, or not of the documented shape.
        """
        if len(data) > MAX_MANIFEST_BYTES:
            raise InvalidManifestError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
        try:
            raw = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidManifestError("the manifest is not valid JSON") from error
        if not isinstance(raw, dict) or raw.get("kind") != "AttemptManifest":
            raise InvalidManifestError("the manifest's kind is not AttemptManifest")
        outcome = _text(raw, "outcome", 64)
        if outcome not in _OUTCOMES:
            raise InvalidManifestError("outcome must be one that a runner reports")
        cells = _mapping(raw, "cells")
        files = raw.get("files")
        if not isinstance(files, list) or len(files) > 2000:
            raise InvalidManifestError("files must be a list of at most 2000")
        return cls(
            uid=_id(raw, "uid"),
            attempt=_id(raw, "attempt"),
            outcome=outcome,
            message=_text(raw, "message", MAX_MESSAGE),
            error=None if raw.get("error") is None else _cell_error(_mapping(raw, "error")),
            start_time=_text(raw, "startTime", 64),
            end_time=_text(raw, "endTime", 64),
            duration_seconds=_number(raw, "durationSeconds"),
            cells_completed=_count(cells, "completed", MAX_CELLS),
            cells_total=_count(cells, "total", MAX_CELLS),
            files=tuple(_stored_file(item) for item in files),
            runner_version=_text(raw, "runnerVersion", 64),
            pages=None if raw.get("pages") is None else _pages(_mapping(raw, "pages")),
            output=None if raw.get("output") is None else _output_check(_mapping(raw, "output")),
        )


def _mapping(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise InvalidManifestError(f"{key} must be an object")
    return value


def _text(raw: Mapping[str, Any], key: str, limit: int) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or len(value) > limit:
        raise InvalidManifestError(f"{key} must be a string of at most {limit} characters")
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can represent and UTF-8 cannot
        raise InvalidManifestError(f"{key} must be valid Unicode") from None
    return value


def _id(raw: Mapping[str, Any], key: str) -> str:
    value = _text(raw, key, 128)
    if not _ID.match(value):
        raise InvalidManifestError(f"{key} must be an id")
    return value


def _count(raw: Mapping[str, Any], key: str, limit: int = 2**53) -> int:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
        raise InvalidManifestError(f"{key} must be an integer from 0 to {limit}")
    return value


def _number(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise InvalidManifestError(f"{key} must be a number of at least 0")
    return float(value)


def _pages(raw: Mapping[str, Any]) -> Pages:
    rendered = raw.get("rendered")
    if not isinstance(rendered, bool):
        raise InvalidManifestError("pages.rendered must be true or false")
    return Pages(rendered, _text(raw, "message", MAX_MESSAGE))


def _output_check(raw: Mapping[str, Any]) -> OutputCheck:
    valid = raw.get("valid")
    if not isinstance(valid, bool):
        raise InvalidManifestError("output.valid must be true or false")
    return OutputCheck(valid, _text(raw, "message", MAX_MESSAGE))


def _cell_error(raw: Mapping[str, Any]) -> CellError:
    cell = None if raw.get("cell") is None else _count(raw, "cell", MAX_CELLS)
    return CellError(cell, _text(raw, "ename", 256), _text(raw, "evalue", MAX_MESSAGE))


def _stored_file(raw: Any) -> StoredFile:
    if not isinstance(raw, dict):
        raise InvalidManifestError("a file must be an object")
    name = _text(raw, "name", 512)
    if not _NAME.match(name) or name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
        raise InvalidManifestError("a file's name must be a relative path")
    sha256 = _text(raw, "sha256", 64)
    if not _SHA256.match(sha256):
        raise InvalidManifestError("a file's sha256 must be a SHA-256 digest")
    media_type = _text(raw, "mediaType", 256)
    if not _MEDIA_TYPE.match(media_type):
        raise InvalidManifestError("a file's mediaType must be a valid header value")
    return StoredFile(name, _count(raw, "size"), sha256, media_type)
