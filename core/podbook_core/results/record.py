"""The record of an execution: written once, the commit point. Readers serve only what it names.

Closing an execution has an order, and every step may be repeated: record (create-only), index entries, name. Whoever finds a record
already there takes it as it is: the first one to commit has decided. Only its ETags are ever written again, see
:mod:`podbook_core.upkeep.repin`.
"""

import logging
import threading
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution, Observation, Results
from podbook_core.execution.transitions import mark_stored
from podbook_core.results.index import Entry, index_keys, milliseconds
from podbook_core.store.base import KeyNotFoundError, ObjectStore, PreconditionFailedError
from podbook_core.store.keys import (
    HTML_FILE,
    LOG_FILE,
    NOTEBOOK_FILE,
    OUTPUT_FILE,
    REPORT_FILE,
    attempt_prefix,
    attempts_prefix,
    name_key,
    record_key,
)
from podbook_core.store.limits import MAX_NAME_BYTES, MAX_RECORD_BYTES
from podbook_core.text.json_depth import parse_without_parameters

__all__ = ["Record", "RecordStore", "RecordedObject", "parse_record"]


class RecordedObject(Observation):
    """One result, pinned: what is read later must have this ETag."""

    name: Annotated[str, Field(max_length=512, description="Name below the attempt, e.g. output.json or files/plot.png.")]
    key: Annotated[str, Field(max_length=1024, description="Key in the store.")]
    size: Annotated[int, Field(ge=0, description="Size in bytes.")]
    sha256: Annotated[str, Field(max_length=64, description="SHA-256, computed by the runner.")]
    etag: Annotated[
        str, Field(max_length=256, description="ETag in the store when the record was written, or when reindex found it copied.")
    ]
    media_type: Annotated[str, Field(max_length=256, description="Media type.")]


class Record(Observation):
    """The final document of an execution and the objects of the attempt that decided it."""

    api_version: Literal["podbook.dev/v1alpha1"] = "podbook.dev/v1alpha1"
    kind: Literal["ExecutionRecord"] = "ExecutionRecord"
    execution: NotebookExecution
    attempt: Annotated[str | None, Field(max_length=128, description="The attempt that decided the end; absent when none ran.")] = (
        None
    )
    objects: list[RecordedObject] = []

    def find(self, name: str) -> RecordedObject | None:
        """The object of that name below the attempt."""
        return next((item for item in self.objects if item.name == name), None)


_LOG = logging.getLogger(__name__)
_RECORD = TypeAdapter(Record)
_LARGE = 64 * 1024
"""Size in bytes from which records are parsed one at a time."""


def parse_record(data: bytes) -> Record:
    """Read a stored record. Members that this version does not know are passed over, those of the spec included.

    Raises:
        pydantic.ValidationError: it is damaged.
    """
    return _RECORD.validate_json(data, extra="ignore")


_RESULT_NAMES = {
    "notebook": NOTEBOOK_FILE,
    "html": HTML_FILE,
    "report": REPORT_FILE,
    "output": OUTPUT_FILE,
    "log": LOG_FILE,
}


class RecordStore:
    """Writes and reads records. Calls block, and raise the store's errors."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._one_large = threading.Lock()
        """Held while a large record is read: threads that read many at once would have the parameters of all in memory."""

    def close(self, execution: NotebookExecution, manifest: AttemptManifest | None) -> Record:
        """Commit an ended execution, whose status must be terminal; repeatable.

        Returns:
            The record that counts: an earlier one where there is one.

        Raises:
            ValueError: the status is not terminal.
            StoreUnavailableError: try again later; nothing is lost.
        """
        record = self.commit(execution, manifest)
        for key, data in self.entries(record).items():
            self.write_entry(key, data)
        return record

    def commit(self, execution: NotebookExecution, manifest: AttemptManifest | None) -> Record:
        """The first step of :meth:`close`: the record alone. What :meth:`entries` names has to follow.

        Raises:
            ValueError: the status is not terminal.
            StoreUnavailableError: try again later; nothing is lost.
        """
        if not execution.status.terminal:
            raise ValueError("only an ended execution has a record")
        return self._commit(execution, manifest)

    def entries(self, record: Record) -> dict[str, bytes]:
        """What makes a record found, key by key: index entries and name. They may be written in any order, or at once."""
        return dict.fromkeys(self._index_keys(record), b"") | {name_key(record.execution.name): record.execution.uid.encode()}

    def write_entry(self, key: str, data: bytes) -> None:
        """Write one of a record's :meth:`entries`; repeatable."""
        self._store.put(key, data, media_type="text/plain")

    def read(self, uid: str) -> Record | None:
        """The record of an execution, None while it has none.

        Raises:
            pydantic.ValidationError: it is damaged.
        """
        try:
            return parse_record(self._store.get(record_key(uid), limit=MAX_RECORD_BYTES).data)
        except KeyNotFoundError:
            return None

    def read_summary(self, uid: str) -> Record | None:
        """The same without the execution's parameters: what lists and results need of it."""
        try:
            data = self._store.get(record_key(uid), limit=MAX_RECORD_BYTES).data
        except KeyNotFoundError:
            return None
        if len(data) < _LARGE:
            record = _RECORD.validate_python(parse_without_parameters(data), extra="ignore")
        else:
            with self._one_large:
                record = _RECORD.validate_python(parse_without_parameters(data), extra="ignore")
        return record.model_copy(update={"execution": record.execution.without_parameters()})

    def read_by_name(self, name: str) -> Record | None:
        """The record of the newest ended execution of a name."""
        uid = self._holder(name)
        return None if uid is None else self.read(uid)

    def forget(self, record: Record) -> None:
        """Remove an ended execution: index, objects, name and, last, the record.

        Until the name goes it is found and can be forgotten again, should this be interrupted.
        """
        for key in self._index_keys(record):
            self._store.delete(key)
        self._store.delete_prefix(attempts_prefix(record.execution.uid))
        if self._known_holder(record.execution.name) in (None, record.execution.uid):
            self._store.delete(name_key(record.execution.name))
        self._store.delete(record_key(record.execution.uid))

    def reindex(self, record: Record) -> None:
        """Write a record's entries again. The name only where it does not lead to a newer execution: records come in any order."""
        for key in self._index_keys(record):
            self.write_entry(key, b"")
        holder = self._known_holder(record.execution.name)
        if holder == record.execution.uid:
            return
        try:
            other = None if holder is None else self.read(holder)
        except ValidationError:
            other = None  # a name is better spent on what can be read
        if other is None or other.execution.created < record.execution.created:
            self.write_entry(name_key(record.execution.name), record.execution.uid.encode())

    def _holder(self, name: str) -> str | None:
        """The uid a name leads to."""
        try:
            return self._store.get(name_key(name), limit=MAX_NAME_BYTES).data.decode()
        except KeyNotFoundError:
            return None

    def _known_holder(self, name: str) -> str | None:
        """As :meth:`_holder`; a name that is damaged leads nowhere."""
        try:
            return self._holder(name)
        except ValueError:
            return None

    def _commit(self, execution: NotebookExecution, manifest: AttemptManifest | None) -> Record:
        objects = [] if manifest is None else self._pin(execution.uid, manifest)
        found = {item.name: item.key for item in objects}
        results = Results(
            **{field: found[name] for field, name in _RESULT_NAMES.items() if name in found},
            record=record_key(execution.uid),
        )
        # What the record holds is stored, by the time anyone can read it there.
        status = mark_stored(execution.status, results, now=execution.status.completion_time or execution.created)
        record = Record(
            execution=execution.with_status(status),
            attempt=None if manifest is None else manifest.attempt,
            objects=objects,
        )
        data = record.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode()
        try:
            self._store.put(record_key(execution.uid), data, media_type="application/json", if_none_match=True)
        except PreconditionFailedError:
            try:
                winner = self.read(execution.uid)
            except ValidationError:
                # What it decided is unknown, and the execution must still end.
                _LOG.error("%s cannot be read; it is being rewritten", record_key(execution.uid))
                self._store.put(record_key(execution.uid), data, media_type="application/json")
                return record
            if winner is None:
                raise
            return winner
        return record

    def _pin(self, uid: str, manifest: AttemptManifest) -> list[RecordedObject]:
        prefix = attempt_prefix(uid, manifest.attempt)
        there = self._store.describe(prefix, [file.name for file in manifest.files])
        pinned = []
        for file in manifest.files:
            info = there.get(prefix + file.name)
            if info is not None and info.size == file.size:  # what the manifest claims and is not there is no result
                pinned.append(
                    RecordedObject(
                        name=file.name,
                        key=info.key,
                        size=file.size,
                        sha256=file.sha256,
                        etag=info.etag,
                        media_type=file.media_type,
                    )
                )
        return pinned

    def _index_keys(self, record: Record) -> list[str]:
        execution = record.execution
        entry = Entry(milliseconds(execution.created), execution.uid, execution.status.reason)
        return index_keys(entry, notebook=execution.spec.notebook.name, submitter=execution.spec.submitted_by)
