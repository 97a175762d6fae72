"""What an execution left: output, HTML, notebook, log, files. Only what its record names is served, and only if it is unchanged."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass

import anyio

from podbook_api.services.context import Context
from podbook_api.services.errors import NotFinishedError, PageMissingError, ResultChangedError, ResultMissingError, RunFailedError
from podbook_api.services.executions import ExecutionService
from podbook_core.execution.model import NotebookExecution, Progress
from podbook_core.execution.reasons import Reason
from podbook_core.results.attempts import Attempts
from podbook_core.results.record import Record, RecordedObject
from podbook_core.store.base import KeyNotFoundError, ObjectTooLargeError, OpenObject, PreconditionFailedError
from podbook_core.store.keys import (
    FILES_FOLDER,
    HTML_FILE,
    LOG_FILE,
    NOTEBOOK_FILE,
    OUTPUT_FILE,
    REPORT_FILE,
    RESPONSE_BODY_FILE,
    RESPONSE_FILE,
)
from podbook_core.store.limits import MAX_RESULT_IN_MEMORY_BYTES
from podbook_core.text.digests import sha256_hex
from podbook_core.threads import Threads

__all__ = ["ARTIFACTS", "Artifact", "ResultService", "closed", "whole"]

ARTIFACTS: Mapping[str, str] = {"html": HTML_FILE, "report": REPORT_FILE, "notebook": NOTEBOOK_FILE}
"""Artifacts that are served as they are, with their file in an attempt."""
_PAGES = ("html", "report")


_LARGEST_DOCUMENT, _LARGEST_BODY = 256 * 1024, 5 * 1024 * 1024
"""Bytes of an answer that is served."""
_NULL = sha256_hex(b"null")
_GONE = (KeyNotFoundError, ObjectTooLargeError, PreconditionFailedError)
"""The object is not the one that was recorded."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A result that has been opened: nothing can be wrong with it any more but the connection to the store."""

    recorded: RecordedObject
    content: bytes | AsyncIterator[bytes]


def _saved(record: Record) -> RecordedObject | None:
    """The output of a run that saved something: of one that did not, null is stored, and cannot be told from a null that was saved."""
    found = record.find(OUTPUT_FILE)
    return None if found is None or found.sha256 == _NULL else found


async def whole(artifact: Artifact) -> bytes:
    """All of a result in memory; look at ``recorded.size`` first."""
    if isinstance(artifact.content, bytes):
        return artifact.content
    return b"".join([chunk async for chunk in artifact.content])


async def closed(artifact: Artifact) -> None:
    """Give back what a result holds that is not read."""
    if isinstance(artifact.content, AsyncGenerator):
        # Only a generator that has begun gives back what it holds when it is closed.
        await anext(artifact.content, b"")
        await artifact.content.aclose()


class ResultService:
    """Reads results."""

    def __init__(self, context: Context, executions: ExecutionService, *, threads: Threads) -> None:
        self._store = context.store
        self._attempts = Attempts(context.store)
        self._executions = executions
        self._threads = threads

    async def output(self, execution: NotebookExecution) -> Artifact | None:
        """The output of an execution that succeeded, JSON text; None when the notebook saved none.

        Raises:
            NotFinishedError: it has not ended.
            RunFailedError: it did not succeed.
        """
        record = await self._record(execution)
        if execution.status.reason is not Reason.SUCCEEDED:
            raise RunFailedError(execution)
        found = record.find(OUTPUT_FILE)
        return None if found is None else await self._open(execution, found)

    async def saved(self, execution: NotebookExecution) -> Artifact | None:
        """What the notebook saved, JSON text, also before it failed; None when it saved nothing, or what its contract does not allow.

        Raises:
            NotFinishedError: it has not ended.
        """
        record = await self._record(execution)
        found = _saved(record)
        return None if found is None else await self._open(execution, found)

    async def response(self, execution: NotebookExecution) -> tuple[Artifact, Artifact] | None:
        """What an execution answered to its HTTP request: the document and the body, at most 5 MiB; None where it left no answer.

        Raises:
            NotFinishedError: it has not ended.
        """
        record = await self._record(execution)
        document, body = record.find(RESPONSE_FILE), record.find(RESPONSE_BODY_FILE)
        if document is None or body is None or document.size > _LARGEST_DOCUMENT or body.size > _LARGEST_BODY:
            return None
        return await self._open(execution, document), await self._open(execution, body)

    async def names(self, execution: NotebookExecution) -> frozenset[str]:
        """Which of output, html, report and notebook an ended execution has.

        Raises:
            NotFinishedError: it has not ended.
        """
        record = await self._record(execution)
        found = {name for name, file in ARTIFACTS.items() if record.find(file) is not None}
        return frozenset(found if _saved(record) is None else {"output", *found})

    async def artifact(self, execution: NotebookExecution, name: str) -> Artifact:
        """One of :data:`ARTIFACTS`, also of a failed run.

        Raises:
            ResultMissingError: the run left none.
            PageMissingError: a page could not be rendered.
        """
        record = await self._record(execution)
        found = record.find(ARTIFACTS[name])
        if found is None:
            pages = execution.status.condition("PagesRendered")
            if name in _PAGES and pages is not None and pages.status == "False":
                raise PageMissingError(execution, pages.message)
            raise ResultMissingError(execution, name)
        return await self._open(execution, found)

    async def file(self, execution: NotebookExecution, path: str) -> Artifact:
        """A file the notebook published, by its path.

        Raises:
            ResultMissingError: there is none of that path.
        """
        record = await self._record(execution)
        found = record.find(FILES_FOLDER + path)
        if found is None:
            raise ResultMissingError(execution, f"file {path[:200]!r}")
        return await self._open(execution, found)

    async def files(self, execution: NotebookExecution) -> list[RecordedObject]:
        """Every file the notebook published."""
        record = await self._record(execution)
        return [item for item in record.objects if item.name.startswith(FILES_FOLDER)]

    async def log(self, execution: NotebookExecution) -> Artifact | bytes:
        """What the notebook printed: the whole log of an ended run, the newest tail of one that runs."""
        record = await self._executions.record_of(execution)
        if record is not None:
            found = record.find(LOG_FILE)
            return b"" if found is None else await self._open(execution, found)
        return await self._threads.run(self._attempts.running_log, execution.uid)

    async def progress(self, execution: NotebookExecution) -> Progress | None:
        """How far the newest attempt is, as the runner wrote it last; None when that is not known."""
        return await self._threads.run(self._attempts.running_progress, execution.uid)

    async def exists(self, key: str) -> bool:
        """Whether an object is in the store."""
        return await self._threads.run(self._store.head, key) is not None

    async def _record(self, execution: NotebookExecution) -> Record:
        if not execution.status.terminal:
            raise NotFinishedError(execution, "wait")
        record = await self._executions.record_of(execution)
        if record is None:
            raise NotFinishedError(execution, "moment")
        return record

    async def _open(self, execution: NotebookExecution, recorded: RecordedObject) -> Artifact:
        try:
            return await self._pinned(recorded)
        except _GONE:
            again = await self._executions.record_again(execution)
        found = None if again is None else again.find(recorded.name)
        if found is None or found == recorded:
            raise ResultChangedError(recorded.name)
        try:
            return await self._pinned(found)
        except _GONE:
            raise ResultChangedError(found.name) from None

    async def _pinned(self, recorded: RecordedObject) -> Artifact:
        if recorded.size <= MAX_RESULT_IN_MEMORY_BYTES:
            stored = await self._threads.run(
                self._store.get, recorded.key, limit=MAX_RESULT_IN_MEMORY_BYTES, if_match=recorded.etag
            )
            return Artifact(recorded, stored.data)
        context = self._store.open(recorded.key, if_match=recorded.etag)
        opened = await self._threads.run(context.__enter__)
        return Artifact(recorded, self._chunks(context, opened))

    async def _chunks(self, context: AbstractContextManager[OpenObject], opened: OpenObject) -> AsyncIterator[bytes]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close, context)
            while chunk := await self._threads.run(next, opened.chunks, b""):
                yield chunk

    async def _close(self, context: AbstractContextManager[OpenObject]) -> None:
        with anyio.CancelScope(shield=True):  # also when the client has gone: the file must not stay open
            await self._threads.run(context.__exit__, None, None, None)
