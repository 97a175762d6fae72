"""Live executions as files: one JSON document each, the very document the cluster would hold.

A document is replaced whole: written beside, synced, renamed, and the directory synced, so that after any crash the old or the new one
is there. Calls block.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.stored import StoredExecution, read_execution
from podbook_core.files import replace_file, sync_folder
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.model_errors import problems

__all__ = ["DamagedDocument", "Documents"]


@dataclass(frozen=True, slots=True)
class DamagedDocument:
    """A document that could not be read, and where it was put aside."""

    file: Path
    problem: str


class _GoneError(StoreUnavailableError):
    """There is no document of this execution."""


class Documents:
    """The documents below one directory.

    Raises:
        StoreUnavailableError: from every method, when the directory cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, execution: NotebookExecution) -> None:
        """Store a document; when this returns it survives a crash of the machine."""
        data = json.dumps(execution.model_dump(mode="json", by_alias=True, exclude_none=True), ensure_ascii=False, indent=1)
        with _translated(f"cannot write the document of {execution.name}"):
            replace_file(self._path(execution.name), data.encode())

    def rewrite(self, execution: NotebookExecution) -> None:
        """Store the next state of a document, given without parameters: those of the document stay."""
        # One that was removed from outside comes back without: its execution then ends, for its parameters are not those that were accepted.
        self.write(self.whole(execution) or execution)

    def whole(self, execution: NotebookExecution) -> NotebookExecution | None:
        """An execution with the parameters of its document, None when that is gone."""
        try:
            return execution.with_parameters(self._parameters(execution))
        except _GoneError:
            return None

    def delete(self, name: str) -> None:
        """Remove a document, durably; no error when there is none."""
        with _translated(f"cannot remove the document of {name}"):
            self._path(name).unlink(missing_ok=True)
            sync_folder(self._folder)

    def load(self) -> tuple[list[StoredExecution], list[DamagedDocument]]:
        """Every document, without parameters. One that cannot be read is put aside as ``<name>.damaged``, and reported: never lost or fatal.

        One of a newer version is read as far as it is understood, and stays as it is.
        """
        found: list[StoredExecution] = []
        damaged: list[DamagedDocument] = []
        with _translated("cannot read the documents of unfinished executions"):
            for path in sorted(self._folder.iterdir()):
                if path.suffix == ".tmp":
                    path.unlink(missing_ok=True)  # never acknowledged to anyone
                elif path.suffix == ".json":
                    try:
                        stored = read_execution(path.read_bytes())
                        if stored.execution.name != path.stem or not stored.execution.uid:
                            raise ValueError("its name differs from the file's, or it has no uid")
                    except (ValidationError, ValueError) as error:
                        damaged.append(DamagedDocument(self._put_aside(path), _problem(error)))
                    else:
                        found.append(replace(stored, execution=stored.execution.without_parameters()))
        return found, damaged

    def check(self) -> None:
        """Prove that documents can be written."""
        with _translated("unfinished executions cannot be stored"):
            probe = self._folder / ".probe.tmp"  # no execution can have this name
            probe.write_bytes(b"check")
            probe.unlink()

    def _parameters(self, execution: NotebookExecution) -> dict[str, Any]:
        with _translated(f"cannot read the document of {execution.name}"):
            try:
                raw = json.loads(self._path(execution.name).read_bytes())
                if raw["metadata"]["uid"] != execution.uid:
                    raise _GoneError(f"the document of {execution.name} is of another execution")
                parameters: dict[str, Any] = raw["spec"].get("parameters", {})
            except FileNotFoundError as error:
                raise _GoneError(f"the document of {execution.name} is gone") from error
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise StoreUnavailableError(f"the document of {execution.name} is damaged ({type(error).__name__})") from error
        return parameters

    def _put_aside(self, path: Path) -> Path:
        target = path.with_suffix(".damaged")
        path.replace(target)
        return target

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _problem(error: Exception) -> str:
    """The first problem in one line, without the document's values: parameters may be confidential."""
    if isinstance(error, ValidationError):
        return problems(error, separator=".", whole="document")
    return str(error)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(f"{what}: {error.strerror or error}") from error
