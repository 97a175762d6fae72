"""What one attempt is told to do: the document operator and supervisor hand to the runner.

Standard library only, because the runner reads it before its kernel has started and every import would delay that. The document
may hold signed URLs; it is a secret and never logged. In a pod it may be replaced while the attempt runs, by one in which only the
access is another.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Destination", "InputSource", "InvalidTaskError", "Source", "Task"]


class InvalidTaskError(Exception):
    """The task document cannot be understood. Its message holds no value of the document."""


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
    publish_timeout_seconds: float = 300.0
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

    def to_json(self) -> bytes:
        """The document, as UTF-8 JSON."""
        return json.dumps(asdict(self), ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Task":
        """Read a document.

        Raises:
            InvalidTaskError: it is no JSON object of this shape.
        """
        try:
            raw = json.loads(data)
            return cls(
                **{
                    **raw,
                    "notebook": Source(**raw["notebook"]),
                    "contract": Source(**raw["contract"]) if raw.get("contract") else None,
                    "assets": Source(**raw["assets"]) if raw.get("assets") else None,
                    "inputs": tuple(InputSource(**item) for item in raw.get("inputs", ())),
                    "destination": Destination(**raw["destination"]),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InvalidTaskError(f"the task document is not understood ({type(error).__name__})") from None
