"""The object store for an event loop: every call that blocks runs in a thread, and what is read is checked before it is believed."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from podbook_core.execution.acceptance import Accepted, Refused, accept
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution, Progress, Spec
from podbook_core.execution.profiles import Profiles
from podbook_core.execution.reasons import Reason
from podbook_core.notebook.versions import UnreadableVersionError, Version, VersionStore
from podbook_core.results.attempts import Attempts
from podbook_core.results.record import Record, RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import ObjectStore

__all__ = ["Storage"]

T = TypeVar("T")
_VERSIONS = 256


class Storage:
    """What the operator reads and writes in the store. Every method may raise the store's ``StoreUnavailableError``.

    Args:
        store: where everything is.
        validator: checks parameters in processes of its own.
        threads: how many calls may block at a time.
    """

    def __init__(self, store: ObjectStore, validator: ContractValidator, *, threads: int = 32) -> None:
        self._attempts = Attempts(store)
        self._versions = VersionStore(store)
        self._records = RecordStore(store)
        self._validator = validator
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._known: OrderedDict[tuple[str, str], Version] = OrderedDict()

    def close(self) -> None:
        """Stop the threads once their calls have ended."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def accept(self, spec: Spec, profiles: Profiles) -> Accepted | Refused:
        """Whether a spec may run, and as what."""
        name, wanted = spec.notebook.name, spec.notebook.version
        try:
            if wanted is None:
                pointer = await self._run(lambda: self._versions.current(name))
                wanted = None if pointer is None else pointer.version
            version = None if wanted is None else await self.version(name, wanted)
        except UnreadableVersionError as error:
            return Refused(Reason.INVALID_NOTEBOOK, f"the stored notebook cannot be used: {error}")
        return await self._run(lambda: accept(spec, version, profiles, self._validator))

    async def version(self, name: str, version: str) -> Version | None:
        """A version of a notebook, None when it is not stored. Versions never change, so they are kept.

        Raises:
            UnreadableVersionError: it is damaged, or a newer Podbook wrote it.
        """
        key = (name, version)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        found = await self._run(lambda: self._versions.load(name, version))
        if found is not None:
            self._known[key] = found
            if len(self._known) > _VERSIONS:
                self._known.popitem(last=False)
        return found

    async def manifest(self, uid: str, attempt: str) -> AttemptManifest | None:
        """What an attempt says it did; None when it says nothing that counts."""
        return await self._run(lambda: self._attempts.manifest(uid, attempt))

    async def manifests(self, uid: str) -> dict[str, AttemptManifest | None]:
        """What every attempt says that has said anything, in the order they ended by their own word."""
        return await self._run(lambda: self._attempts.manifests(uid))

    async def progress(self, uid: str, attempt: str) -> Progress | None:
        """How far an attempt is, None when it has not said so (in a way that can be understood)."""
        return await self._run(lambda: self._attempts.progress(uid, attempt))

    async def close_record(self, execution: NotebookExecution, manifest: AttemptManifest | None) -> Record:
        """Commit the end of an execution; the record that counts may be an earlier one."""
        record = await self._run(lambda: self._records.commit(execution, manifest))
        entries = self._records.entries(record).items()
        # At once, because whoever waits for the end waits for the slowest of them, not for their sum.
        await asyncio.gather(*(self._run(partial(self._records.write_entry, key, data)) for key, data in entries))
        return record

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)
