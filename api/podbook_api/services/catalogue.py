"""The catalogue: which notebooks there are, what they take and give, and how they are published."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from podbook_api.auth.keys import Caller
from podbook_api.cache import LruCache
from podbook_api.doors.native.documents import NotebookResource, VersionEntry
from podbook_api.doors.problems import Code, ProblemError
from podbook_api.services.context import Context
from podbook_api.services.publication import Submission, check_submission
from podbook_api.services.shared_calls import SharedCalls
from podbook_api.threads import Threads, gather
from podbook_core.notebook.file import InvalidNotebookError, NotebookInfo, inspect_notebook
from podbook_core.notebook.versions import UnreadableVersionError, Version, VersionStore
from podbook_core.store.base import KeyNotFoundError, PreconditionFailedError
from podbook_core.store.limits import MAX_NOTEBOOK_DOCUMENT_BYTES

__all__ = ["NotebookService", "Published", "notebook_etag"]

_LOG = logging.getLogger("podbook.notebooks")
_KEPT = 512
_POINTER_SECONDS = 0.25
"""How long a replica takes it that the current version is the one it read. Who changes it is answered when that is over for every
replica: from then on nobody gets the version before."""


@dataclass(frozen=True, slots=True)
class Published:
    """A version and what a light look at its notebook tells. ``info`` is None when the file cannot be understood."""

    version: Version
    info: NotebookInfo | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A published notebook whose version, or whose pointer to it, is damaged or newer than this version of Podbook."""

    name: str
    problem: str


def notebook_etag(version: str) -> str:
    """The entity tag of a notebook: its current version, quoted."""
    return f'"{version}"'


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
        self._told: LruCache[_Unreadable, bool] = LruCache(_KEPT)
        self._currents: SharedCalls[str, Published | _Unreadable | None] = SharedCalls(
            lambda name: threads.run(self._current, name), lasts=_POINTER_SECONDS
        )

    async def listing(self, caller: Caller) -> list[NotebookResource]:
        """Every notebook the caller may see, by name; broken ones with their reason."""
        broken = self._context.catalogue.broken()
        found: dict[str, NotebookResource] = {}
        for item in await self._all(caller):
            if isinstance(item, _Unreadable):
                found[item.name] = broken_resource(item.name, item.problem)
            else:
                found[item.version.name] = notebook_resource(item)
        found.update({name: broken_resource(name, why) for name, why in broken.items() if caller.may_read_notebook(name)})
        return [found[name] for name in sorted(found)]

    async def ready(self, caller: Caller) -> list[Published]:
        """Every published notebook that is not broken and that the caller may see, by name; what cannot be read is left out."""
        return [item for item in await self._all(caller) if isinstance(item, Published)]

    async def _all(self, caller: Caller) -> list[Published | _Unreadable]:
        broken = self._context.catalogue.broken()
        names = [name for name in await self._threads.run(self._versions.names) if caller.may_read_notebook(name)]
        found = await gather([partial(self._current, name) for name in names if name not in broken], self._threads)
        return [item for item in found if item is not None]

    async def resource(self, caller: Caller, name: str) -> NotebookResource:
        """One notebook, also when it is broken.

        Raises:
            ProblemError: 404 when there is none (or the caller may not see it).
        """
        if not caller.may_read_notebook(name):
            raise _not_found(name)
        broken = self._context.catalogue.broken()
        if name in broken:
            return broken_resource(name, broken[name])
        found = await self._looked_up(name)
        return broken_resource(name, found.problem) if isinstance(found, _Unreadable) else notebook_resource(found)

    async def current(self, name: str) -> Published:
        """The current version of a notebook that can be run.

        Raises:
            ProblemError: 404 when it is not published, 409 when it is broken, or cannot be read.
        """
        broken = self._context.catalogue.broken()
        if name in broken:
            raise _broken(name, broken[name])
        found = await self._looked_up(name)
        if isinstance(found, _Unreadable):
            raise _broken(name, found.problem)
        return found

    async def _looked_up(self, name: str) -> Published | _Unreadable:
        """The current version of a notebook. Raises 404 when it is not published."""
        if self._context.catalogue.managed(name):
            found = await self._threads.run(self._current, name)  # the folder waits for nobody
        else:
            found = await self._currents.answer(name)
        if found is None:
            raise _not_found(name)
        return found

    async def version(self, name: str, version: str | None) -> Version | None:
        """A version to run: the one named, else the current one; None when that one is not stored.

        Raises:
            ProblemError: as :meth:`current`, when no version is named; 409 when the version cannot be read.
        """
        if version is None:
            return (await self.current(name)).version
        found = await self._threads.run(self._load, name, version)
        if isinstance(found, _Unreadable):
            raise _broken(name, found.problem)
        return None if found is None else found.version

    async def versions(self, caller: Caller, name: str) -> list[VersionEntry]:
        """Every stored version that can be read, newest first.

        Raises:
            ProblemError: 404 when there is none.
        """
        if not caller.may_read_notebook(name):
            raise _not_found(name)
        digests = await self._threads.run(self._versions.versions, name)
        loaded = await gather([partial(self._load, name, digest) for digest in digests], self._threads)
        if not loaded:
            raise _not_found(name)
        pointer = await self._threads.run(self._versions.pointer, name)
        current = None if pointer is None else pointer.version
        entries = [
            VersionEntry(version=item.version.version, published=item.version.published, current=item.version.version == current)
            for item in loaded
            if isinstance(item, Published)
        ]
        return sorted(entries, key=lambda entry: (entry.published, entry.current), reverse=True)

    async def publish(
        self, name: str, submission: Submission, *, if_match: str | None, if_none_match: bool
    ) -> tuple[NotebookResource, bool]:
        """Publish a version and make it the current one.

        Args:
            name: the notebook's name.
            submission: notebook, contract and assets, unchecked.
            if_match: the version that must be current (or ``*`` for any), None for no condition.
            if_none_match: whether there must be none yet.

        Returns:
            The notebook, and whether it is new.

        Raises:
            ProblemError: 409 for a notebook of the folder, 412 when a condition does not hold, 422 when a part is not usable.
        """
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
            except PreconditionFailedError:
                now_current = await self._threads.run(self._versions.pointer, name)
                raise _precondition_failed(name, None if now_current is None else now_current.version) from None
        await asyncio.sleep(_POINTER_SECONDS)
        found = await self._threads.run(self._load, name, bundle.version)
        if isinstance(found, _Unreadable):
            raise _broken(name, found.problem)
        assert found is not None  # noqa: S101 - it was stored just now
        return notebook_resource(found), known is None

    async def unpublish(self, name: str) -> None:
        """Take a notebook out of the catalogue; its versions stay for executions that wait.

        Raises:
            ProblemError: 404 when it is not published, 409 for a notebook of the folder.
        """
        self._refuse_managed(name)
        known = await self._threads.run(self._versions.unpublish, name)
        await asyncio.sleep(_POINTER_SECONDS)
        if not known:
            raise _not_found(name)

    def _refuse_managed(self, name: str) -> None:
        if self._context.catalogue.managed(name):
            raise ProblemError(
                409, Code.MANAGED_BY_FOLDER, f"notebook {name} comes from the notebooks folder; change or remove the file there"
            )

    def _current(self, name: str) -> Published | _Unreadable | None:
        try:
            pointer = self._versions.current(name)
        except UnreadableVersionError as error:
            return self._unreadable(name, error)
        return None if pointer is None else self._load(name, pointer.version)

    def _load(self, name: str, version: str) -> Published | _Unreadable | None:
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

    def _unreadable(self, name: str, error: UnreadableVersionError) -> _Unreadable:
        found = _Unreadable(name, str(error))
        if self._told.get(found) is None:  # once, not with every listing
            self._told.put(found, True)
            _LOG.error("notebook %s is broken: %s", name, error)
        return found


def _links(name: str) -> dict[str, str]:
    return {
        "self": f"/v1/notebooks/{name}",
        "run": f"/v1/run/{name}",
        "executions": f"/v1/notebooks/{name}/executions",
        "versions": f"/v1/notebooks/{name}/versions",
        "openapi": f"/v1/notebooks/{name}/openapi.json",
    }


def notebook_resource(published: Published) -> NotebookResource:
    """A published notebook as callers see it. Pure."""
    version, info = published.version, published.info
    contract = version.contract
    return NotebookResource(
        name=version.name,
        status="broken" if published.problem else "ready",
        message=published.problem,
        version=version.version,
        published=version.published,
        title=contract.title or (info.title if info else None),
        description=contract.description,
        kernel=info.kernel if info else None,
        code_cells=info.code_cells if info else None,
        warnings=list(info.warnings) if info else [],
        profile=contract.profile,
        timeout_seconds=contract.timeout_seconds,
        assets=list(version.asset_paths),
        input_schema=_plain(contract.input),
        output_schema=_plain(contract.output),
        links=_links(version.name),
    )


def broken_resource(name: str, message: str) -> NotebookResource:
    """A notebook that cannot be served, with the reason. Pure."""
    return NotebookResource(name=name, status="broken", message=message, links={"self": f"/v1/notebooks/{name}"})


def _plain(schema: Mapping[str, object] | bool | None) -> dict[str, object] | bool | None:
    return dict(schema) if isinstance(schema, Mapping) else schema


def _broken(name: str, why: str) -> ProblemError:
    return ProblemError(409, Code.NOTEBOOK_BROKEN, f"notebook {name} cannot be run: {why}")


def _not_found(name: str) -> ProblemError:
    return ProblemError(404, Code.NOTEBOOK_NOT_FOUND, f"no notebook {name} is published; GET /v1/notebooks lists those that are")


def _precondition_failed(name: str, current: str | None) -> ProblemError:
    state = "is not published" if current is None else f"has the version {current or '(which cannot be read)'}"
    return ProblemError(412, Code.PRECONDITION_FAILED, f"notebook {name} {state}; read it again before changing it")
