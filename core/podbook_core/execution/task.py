"""What one attempt is told to do: the document operator and supervisor hand to the runner.

Standard library only, because the runner reads it before its kernel has started and every import would delay that. The document
may hold signed URLs; it is a secret and never logged. In a pod it may be replaced while the attempt runs, by one in which only the
access is another.

Runner and operator need not be of one version: a profile's image may be older or newer than the operator. A reader passes over
members that it does not know; what it must not pass over is named in ``requires``. The runner of 0.1.0 refuses every member that it
does not know, so none may be written before its feature is used.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar

from podbook_core.execution.deadlines import DEFAULT_PUBLISH_TIMEOUT
from podbook_core.text.requirements import NewerPodbookError, check_requirements

__all__ = ["FEATURES", "Destination", "HttpCallSource", "InputSource", "InvalidTaskError", "Source", "Task"]

FEATURES = ("http",)
"""What this runner knows of what a task may require: ``http``, to answer a request with annotated cells."""
_T = TypeVar("_T")


class InvalidTaskError(Exception):
    """The task document cannot be understood. Its message holds no value of the document but names in ``requires``."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to fetch: ``url`` is ``file:`` or ``http(s):``; the content must have this SHA-256."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class InputSource:
    """An input file of the caller, to be put into ``$PODBOOK_INPUT_DIR`` under ``name``."""

    name: str
    url: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class HttpCallSource:
    """An HTTP request that cells of the notebook answer: ``url`` gives REQUEST, the text that they read."""

    method: str
    route: str
    path: str
    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the attempt's objects go, under ``prefix`` (``executions/<uid>/attempts/``) + attempt id + ``/``.

    ``kind`` ``directory``: ``url`` is a ``file:`` URL of the store's root. ``kind`` ``post``: ``url`` takes multipart POSTs with
    ``fields`` (an S3 POST policy that allows every key under ``prefix``).
    """

    kind: Literal["directory", "post"]
    url: str
    prefix: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt. Sizes in bytes, times in seconds."""

    execution: str
    """Name of the execution, for messages and for the notebook's environment."""
    uid: str
    """Unique id of the execution."""
    notebook_name: str
    version: str
    notebook: Source
    contract: Source | None
    assets: Source | None
    inputs: tuple[InputSource, ...]
    parameters: Mapping[str, Any]
    destination: Destination
    timeout_seconds: float
    publish_timeout_seconds: float = DEFAULT_PUBLISH_TIMEOUT
    html: bool = True
    report: bool = True
    memory_limit_bytes: int | None = None
    """A limit the runner itself enforces; in a pod the control group's limit is found and honoured as well."""
    max_output_bytes: int = 5 * 1024 * 1024
    """Largest output.json."""
    max_notebook_bytes: int = 50 * 1024 * 1024
    """Largest executed notebook; a cell that prints without end is stopped here."""
    max_files_bytes: int = 1024 * 1024 * 1024
    """Largest sum of the files in ``$PODBOOK_OUTPUT_DIR``."""
    max_files: int = 1000
    report_violation: bool = False
    """Whether an output that breaks its contract is reported in the manifest, and fails nothing; written only when it is."""
    request: HttpCallSource | None = None
    """The request to answer, in place of running the whole notebook; written only when there is one, with ``http`` in ``requires``."""
    requires: tuple[str, ...] = ()
    """Features that a runner must know to run this task as it is meant; written only when there are some."""

    def to_json(self) -> bytes:
        """The document, as UTF-8 JSON."""
        raw = asdict(self)
        if not self.requires:
            del raw["requires"]
        if not self.report_violation:
            del raw["report_violation"]
        if self.request is None:
            del raw["request"]
        return json.dumps(raw, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Task":
        """Read a document. Members that this version does not know are passed over.

        Raises:
            InvalidTaskError: it is not a JSON object of this shape, or it requires what this version does not know.
        """
        try:
            raw = json.loads(data)
            check_requirements(raw, FEATURES)
            return _read(
                cls,
                {
                    **raw,
                    "requires": tuple(raw.get("requires") or ()),
                    "notebook": _read(Source, raw["notebook"]),
                    "contract": _read(Source, raw["contract"]) if raw.get("contract") else None,
                    "assets": _read(Source, raw["assets"]) if raw.get("assets") else None,
                    "inputs": tuple(_read(InputSource, item) for item in raw.get("inputs", ())),
                    "request": _read(HttpCallSource, raw["request"]) if raw.get("request") else None,
                    "destination": _read(Destination, raw["destination"]),
                },
            )
        except NewerPodbookError as error:
            raise InvalidTaskError(f"the task {error}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InvalidTaskError(f"the task document cannot be parsed ({type(error).__name__})") from None


def _read(part: type[_T], raw: Mapping[str, Any]) -> _T:
    """A part of the document, by the members it has in this version."""
    known = {item.name for item in fields(part)}  # type: ignore[arg-type] # every part is a dataclass
    return part(**{name: value for name, value in raw.items() if name in known})
