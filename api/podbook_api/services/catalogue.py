"""The catalogue: which notebooks there are, what they take and give, and how they are published."""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial

from podbook_api.auth.keys import Caller
from podbook_api.cache import LruCache
from podbook_api.services.context import Context
from podbook_api.services.errors import (
    InvalidCursorError,
    ManagedByFolderError,
    NotebookBrokenError,
    NotebookNotFoundError,
    NotPermittedError,
    PreconditionFailedError,
)
from podbook_api.services.publication import Submission, check_submission
from podbook_api.services.shared_calls import SharedCalls
from podbook_core.notebook.file import InvalidNotebookError, NotebookInfo, inspect_notebook
from podbook_core.notebook.identity import name_from_path
from podbook_core.notebook.versions import UnreadableVersionError, Version, VersionStore
from podbook_core.store import base as store_base
from podbook_core.store.base import KeyNotFoundError
from podbook_core.store.limits import MAX_NOTEBOOK_DOCUMENT_BYTES
from podbook_core.threads import Threads

__all__ = ["Broken", "NotebookService", "Published", "StoredVersion", "VersionPage"]

_LOG = logging.getLogger("podbook.notebooks")
_KEPT = 512
_TIMES_KEPT = 20_000
_POINTER_SECONDS = 0.25
"""How long a replica takes it that the current version is the one it read. Who changes it is answered when that is over for every
replica: from then on no caller gets the previous version."""


@dataclass(frozen=True, slots=True)
class Published:
    """A version and what a light look at its notebook tells. ``info`` is None when the file cannot be understood."""

    version: Version
    info: NotebookInfo | None
    problem: str | None = None

    @property
    def name(self) -> str:
        """The notebook's name."""
        return self.version.name


@dataclass(frozen=True, slots=True)
class Broken:
    """A notebook that cannot be served: its file, or what is stored of it, is damaged or newer than this version of Podbook."""

    name: str
    problem: str
    """Why, in a sentence."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One stored version of a notebook. ``published`` is when it first was, RFC 3339; ``current`` is the one that runs unless named."""

    version: str
    published: str
    current: bool


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Part of a notebook's versions. ``next_cursor`` is None on the last page."""

    items: list[StoredVersion]
    next_cursor: str | None


class NotebookService:
    """Reads and changes the catalogue.

    Args:
        context: the application's parts.
        threads: for calls to the store.
        checks: for calls to the validator, which may take seconds each.
    """

    def __init__(self, context: Context, *, threads: Threads, checks: Threads) -> None:
        self._context = context
        self._versions = VersionStore(context.store)
        self._threads, self._checks = threads, checks
        self._kept: LruCache[tuple[str, str], Published] = LruCache(_KEPT)
        self._times: LruCache[tuple[str, str], str] = LruCache(_TIMES_KEPT)
        """When versions were published, by name and version: a list is in this order."""
        self._identified: LruCache[str, str] = LruCache(_KEPT)
        """Names by the id that was asked for: a hint, which is looked at again."""
        self._told: LruCache[Broken, bool] = LruCache(_KEPT)
        self._currents: SharedCalls[str, Published | Broken | None] = SharedCalls(
            lambda name: threads.run(self._current, name), lasts=_POINTER_SECONDS
        )

    async def listing(self, caller: Caller) -> list[Published | Broken]:
        """Every notebook the caller may see, by name; broken ones with their reason."""
        found = {item.name: item for item in await self._all(caller)}
        broken = self._context.catalogue.broken()
        found.update({name: Broken(name, why) for name, why in broken.items() if caller.may_read_notebook(name)})
        return [found[name] for name in sorted(found)]

    async def ready(self, caller: Caller) -> list[Published]:
        """Every published notebook that is not broken and that the caller may see, by name; what cannot be read is left out."""
        return [item for item in await self._all(caller) if isinstance(item, Published)]

    async def _all(self, caller: Caller | None) -> list[Published | Broken]:
        broken = self._context.catalogue.broken()
        listed = await self._threads.run(self._versions.names)
        names = [name for name in listed if caller is None or caller.may_read_notebook(name)]
        found = await self._threads.gather([partial(self._current, name) for name in names if name not in broken])
        return [item for item in found if item is not None]

    async def look(self, caller: Caller, name: str) -> Published | Broken:
        """One notebook, also when it is broken.

        Raises:
            NotebookNotFoundError: there is none (or the caller may not see it).
        """
        if not caller.may_read_notebook(name):
            raise NotebookNotFoundError(name)
        broken = self._context.catalogue.broken()
        return Broken(name, broken[name]) if name in broken else await self._looked_up(name)

    async def current(self, name: str) -> Published:
        """The current version of a notebook that can be run.

        Raises:
            NotebookNotFoundError: it is not published.
            NotebookBrokenError: it is broken, or cannot be read.
        """
        broken = self._context.catalogue.broken()
        if name in broken:
            raise NotebookBrokenError(name, broken[name])
        found = await self._looked_up(name)
        if isinstance(found, Broken):
            raise NotebookBrokenError(name, found.problem)
        return found

    async def named(self, text: str) -> str | None:
        """The name of the notebook that answers to a name, to a path (``sub/nested``), or to the ``id`` of a contract, in this order.

        None where none does. Whether the caller may know of it is for the one who asks: notebooks are looked through whoever calls.
        """
        name = name_from_path(text)
        if name is not None and await self._known(name):
            return name
        hint = self._identified.get(text)
        if hint is not None and await self._has_id(hint, text):
            return hint
        for item in await self._all(None):
            if isinstance(item, Published) and item.version.contract.id == text:
                self._identified.put(text, item.name)
                return item.name
        return None

    async def visible(self, caller: Caller, text: str) -> str | None:
        """The same, as far as a caller may know of the notebook."""
        name = await self.named(text)
        return name if name is not None and caller.may_read_notebook(name) else None

    async def _known(self, name: str) -> bool:
        """Whether there is such a notebook, broken or not."""
        if name in self._context.catalogue.broken():
            return True
        try:
            await self._looked_up(name)
        except NotebookNotFoundError:
            return False
        return True

    async def _has_id(self, name: str, text: str) -> bool:
        try:
            found = await self._looked_up(name)
        except NotebookNotFoundError:
            return False
        return isinstance(found, Published) and found.version.contract.id == text

    async def _looked_up(self, name: str) -> Published | Broken:
        """The current version of a notebook. Raises NotebookNotFoundError when it is not published."""
        if self._context.catalogue.managed(name):
            found = await self._threads.run(self._current, name)  # the folder waits for nobody
        else:
            found = await self._currents.answer(name)
        if found is None:
            raise NotebookNotFoundError(name)
        return found

    async def version(self, name: str, version: str | None) -> Version | None:
        """A version to run: the one named, else the current one; None when that one is not stored.

        Raises:
            NotebookNotFoundError: no version is named, and the notebook is not published.
            NotebookBrokenError: the version cannot be read.
        """
        if version is None:
            return (await self.current(name)).version
        found = await self._threads.run(self._load, name, version)
        if isinstance(found, Broken):
            raise NotebookBrokenError(name, found.problem)
        return None if found is None else found.version

    async def stored(self, name: str, version: str | None) -> Version | None:
        """A version that ran, for what it says of itself; None when it is gone, cannot be read, or is not named."""
        found = None if version is None else await self._threads.run(self._load, name, version)
        return found.version if isinstance(found, Published) else None

    async def versions(self, caller: Caller, name: str, *, limit: int, cursor: str | None) -> VersionPage:
        """Part of the stored versions that can be read, newest first.

        Args:
            caller: who asks.
            name: the notebook's name.
            limit: most of them.
            cursor: the version that the previous page ended with; None for the first page.

        Raises:
            NotebookNotFoundError: there is none.
            InvalidCursorError: there is no such version.
        """
        if not caller.may_read_notebook(name):
            raise NotebookNotFoundError(name)
        digests = await self._threads.run(self._versions.folders, name)
        times = await self._threads.gather([partial(self._published_at, name, digest) for digest in digests])
        if all(published is None for published in times):
            raise NotebookNotFoundError(name)
        pointer = await self._threads.run(self._versions.pointer, name)
        current = None if pointer is None else pointer.version
        entries = [
            StoredVersion(digest, published, digest == current)
            for digest, published in zip(digests, times, strict=True)
            if published
        ]
        # Of those that were published in the same second the current one comes first, then by digest, so that every page has the same order.
        entries.sort(key=lambda entry: (entry.published, entry.current, entry.version), reverse=True)
        first = 0
        if cursor is not None:
            places = [place for place, entry in enumerate(entries) if entry.version == cursor]
            if not places:
                raise InvalidCursorError("cursor must be the nextCursor of an earlier page of this list")
            first = places[0] + 1
        items = entries[first : first + limit]
        return VersionPage(items, items[-1].version if first + limit < len(entries) else None)

    def _published_at(self, name: str, version: str) -> str | None:
        """When a version was first published; empty where that cannot be read, None where the version was never finished."""
        key = (name, version)
        known = self._times.get(key)
        if known is not None:
            return known
        try:
            found = self._versions.load(name, version)
        except UnreadableVersionError:
            return ""
        if found is not None:
            self._times.put(key, found.published)
        return None if found is None else found.published

    def permit_writing(self, caller: Caller, name: str) -> None:
        """Let a caller publish or remove a notebook; asked again where that is done. Ask before a body is read.

        Raises:
            NotPermittedError: it may not.
        """
        if not caller.may("notebooks", name, "write"):
            raise NotPermittedError(f"this key lacks the scope notebooks/{name}/write")

    async def publish(
        self, caller: Caller, name: str, submission: Submission, *, if_match: str | None, if_none_match: bool
    ) -> tuple[Published, bool]:
        """Publish a version and make it the current one.

        Args:
            caller: who publishes.
            name: the notebook's name.
            submission: notebook, contract and assets, unchecked.
            if_match: the version that must be current (or ``*`` for any), None for no condition.
            if_none_match: whether there must be none yet.

        Returns:
            The notebook, and whether it is new.

        Raises:
            NotPermittedError: the caller may not.
            ManagedByFolderError: the notebook comes from the folder.
            PreconditionFailedError: a condition does not hold.
            RefusedError: a part is not usable.
        """
        self.permit_writing(caller, name)
        self._refuse_managed(name)
        bundle = await self._checks.run(
            check_submission, name, submission, profiles=self._context.profiles, validator=self._context.validator
        )
        known = await self._threads.run(self._versions.pointer, name)
        missed = if_match is not None and (known is None or if_match not in ("*", known.version))
        if missed or (if_none_match and known is not None):
            raise _precondition_failed(name, None if known is None else known.version)
        await self._threads.run(self._versions.keep, bundle, now=self._context.clock())
        if if_match is None and not if_none_match:
            await self._threads.run(self._versions.point, name, bundle.version)
        else:
            try:
                await self._threads.run(self._versions.replace, name, bundle.version, known=known)
            except store_base.PreconditionFailedError:
                now_current = await self._threads.run(self._versions.pointer, name)
                raise _precondition_failed(name, None if now_current is None else now_current.version) from None
        await asyncio.sleep(_POINTER_SECONDS)
        found = await self._threads.run(self._load, name, bundle.version)
        if isinstance(found, Broken):
            raise NotebookBrokenError(name, found.problem)
        assert found is not None  # noqa: S101 - it was stored just now
        return found, known is None

    async def unpublish(self, caller: Caller, name: str) -> None:
        """Take a notebook out of the catalogue; its versions stay for executions that wait.

        Raises:
            NotPermittedError: the caller may not.
            NotebookNotFoundError: it is not published.
            ManagedByFolderError: the notebook comes from the folder.
        """
        self.permit_writing(caller, name)
        self._refuse_managed(name)
        known = await self._threads.run(self._versions.unpublish, name)
        await asyncio.sleep(_POINTER_SECONDS)
        if not known:
            raise NotebookNotFoundError(name)

    def _refuse_managed(self, name: str) -> None:
        if self._context.catalogue.managed(name):
            raise ManagedByFolderError(name)

    def _current(self, name: str) -> Published | Broken | None:
        try:
            pointer = self._versions.current(name)
        except UnreadableVersionError as error:
            return self._unreadable(name, error)
        return None if pointer is None else self._load(name, pointer.version)

    def _load(self, name: str, version: str) -> Published | Broken | None:
        known = self._kept.get((name, version))
        if known is not None:
            return known
        try:
            loaded = self._versions.load(name, version)
        except UnreadableVersionError as error:
            return self._unreadable(name, error)
        if loaded is None:
            return None
        try:
            found = Published(
                loaded,
                inspect_notebook(self._context.store.get(loaded.prefix + "notebook.ipynb", limit=MAX_NOTEBOOK_DOCUMENT_BYTES).data),
            )
        except InvalidNotebookError as error:
            found = Published(loaded, None, str(error))
        except KeyNotFoundError:
            return None
        self._kept.put((name, version), found)
        return found

    def _unreadable(self, name: str, error: UnreadableVersionError) -> Broken:
        found = Broken(name, str(error))
        if self._told.get(found) is None:  # once, not with every listing
            self._told.put(found, True)
            _LOG.error("notebook %s is broken: %s", name, error)
        return found


def _precondition_failed(name: str, current: str | None) -> PreconditionFailedError:
    state = "is not published" if current is None else f"has the version {current or '(which cannot be read)'}"
    return PreconditionFailedError(f"notebook {name} {state}; read it again before changing it")
