"""The object store for an event loop: every call that blocks runs in a thread, and what is read is checked before it is believed."""

from functools import partial

from podbook_core.execution.acceptance import Accepted, Refused
from podbook_core.execution.accepting import Accepting
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution, Progress, Resolved, Spec
from podbook_core.execution.profiles import Profiles
from podbook_core.notebook.versions import Version
from podbook_core.results.attempts import Attempts
from podbook_core.results.record import Record, RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import ObjectStore
from podbook_core.threads import Threads

__all__ = ["Storage"]


class Storage:
    """What the operator reads and writes in the store. Every method may raise the store's ``StoreUnavailableError``.

    Args:
        store: where everything is.
        validator: checks parameters in processes of its own.
        threads: how many calls may block at a time.
    """

    def __init__(self, store: ObjectStore, validator: ContractValidator, *, threads: int = 32) -> None:
        self._attempts = Attempts(store)
        self._records = RecordStore(store)
        self._accepting = Accepting(store, validator)
        self._threads = Threads(threads, name="store")

    def close(self) -> None:
        """Stop the threads once their calls have ended."""
        self._threads.close()

    async def accept(self, spec: Spec, profiles: Profiles) -> Accepted | Refused:
        """See :meth:`podbook_core.execution.accepting.Accepting.accept`."""
        return await self._threads.run(self._accepting.accept, spec, profiles)

    async def confirm(self, execution: NotebookExecution, profiles: Profiles) -> Accepted | Refused:
        """See :meth:`podbook_core.execution.accepting.Accepting.confirm`."""
        return await self._threads.run(self._accepting.confirm, execution, profiles)

    async def fixed(self, execution: NotebookExecution) -> tuple[Resolved, Version] | Refused:
        """See :meth:`podbook_core.execution.accepting.Accepting.fixed`."""
        return await self._threads.run(self._accepting.fixed, execution)

    async def manifest(self, uid: str, attempt: str) -> AttemptManifest | None:
        """What an attempt says it did; None when it says nothing that counts."""
        return await self._threads.run(self._attempts.manifest, uid, attempt)

    async def manifests(self, uid: str) -> dict[str, AttemptManifest | None]:
        """What every attempt says that has said anything, in the order they ended by their own word."""
        return await self._threads.run(self._attempts.manifests, uid)

    async def progress(self, uid: str, attempt: str) -> Progress | None:
        """How far an attempt is, None when it has not said so (in a way that can be understood)."""
        return await self._threads.run(self._attempts.progress, uid, attempt)

    async def close_record(self, execution: NotebookExecution, manifest: AttemptManifest | None) -> Record:
        """Commit the end of an execution; the record that counts may be an earlier one."""
        record = await self._threads.run(self._records.commit, execution, manifest)
        entries = self._records.entries(record).items()
        # At once, because the end then waits for the slowest of them, not for their sum.
        await self._threads.gather([partial(self._records.write_entry, key, data) for key, data in entries])
        return record
