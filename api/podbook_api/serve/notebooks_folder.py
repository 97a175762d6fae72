"""A folder of notebooks that is published as it lies on disk, and again whenever its files change.

What is broken is not served, not even in its last good version: an author who edits a notebook must not get results of another one than the
file they look at. The listing says why instead. Removing a file unpublishes its notebook.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from podbook_core.execution.profiles import Profiles
from podbook_core.files import replace_file
from podbook_core.notebook.contract import ContractError
from podbook_core.notebook.file import InvalidNotebookError, inspect_notebook
from podbook_core.notebook.folder import SourceError, find_notebooks, read_source
from podbook_core.notebook.versions import Bundle, UnreadableVersionError, VersionStore, build_bundle
from podbook_core.schema.publication import check_contract
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.names import is_notebook_name, notebook_name_from_path
from podbook_core.threads import Threads

__all__ = ["FolderNotebook", "NotebooksFolder"]

_LOG = logging.getLogger("podbook.notebooks")
_LOOK_SECONDS = 1.0
_SETTLE_SECONDS = 0.25
_SETTLE_ROUNDS = 20
_WALK_SHARE = 20
"""Looking may take at most one part in so many of the time: a huge folder is looked at less often."""

Fingerprint = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class FolderNotebook:
    """One notebook file as it was found."""

    name: str
    file: str
    """Relative to the folder."""
    bundle: Bundle | None
    """None when it is broken."""
    problem: str | None


class NotebooksFolder:
    """The notebooks of a folder, as a :class:`~podbook_api.services.context.Catalogue`.

    Args:
        folder: the folder.
        versions: where notebooks are published.
        validator: checks contracts.
        profiles: what contracts may name.
        state_file: remembers which published notebooks came from the folder, across restarts.
        threads: for reading files.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        folder: Path,
        *,
        versions: VersionStore,
        validator: ContractValidator,
        profiles: Profiles,
        state_file: Path,
        threads: Threads,
        clock: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._versions = versions
        self._validator = validator
        self._profiles = profiles
        self._state_file = state_file
        self._threads = threads
        self._clock = clock
        self._seen: Fingerprint | None = None
        self._checked: dict[str, str] = {}
        self._notebooks: tuple[FolderNotebook, ...] = ()
        self._task: asyncio.Task[None] | None = None

    @property
    def notebooks(self) -> tuple[FolderNotebook, ...]:
        """What was found last, sorted by file."""
        return self._notebooks

    def broken(self) -> Mapping[str, str]:
        """See :class:`~podbook_api.services.context.Catalogue`."""
        return MappingProxyType({item.name: item.problem for item in self._notebooks if item.problem is not None})

    def managed(self, name: str) -> bool:
        """See :class:`~podbook_api.services.context.Catalogue`."""
        return any(item.name == name for item in self._notebooks)

    async def start(self) -> None:
        """Publish what is there now, then go on watching.

        Raises:
            StoreUnavailableError: it could not be published.
        """
        await self._threads.run(self.refresh)
        self._task = asyncio.create_task(self._watch(), name="notebooks folder")

    async def stop(self) -> None:
        """Stop watching; what is published stays."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def refresh(self) -> None:
        """Publish, withdraw and list what has changed since the last time. Blocks.

        Raises:
            StoreUnavailableError: the store took not all of it; the next call does the rest.
        """
        seen = fingerprint(self._folder)
        if seen == self._seen:
            return
        found = self._read_all()
        before = self._remembered()
        good = {item.name: item.bundle for item in found if item.bundle is not None}
        # Remembered before it is published: what a crash interrupts here is known as the folder's afterwards.
        self._remember(before | set(good))
        # A broken file withdraws what was published under its name before, by whatever way: the file is what people look at.
        broken = {item.name for item in found if item.bundle is None and is_notebook_name(item.name)}
        for name in sorted((before | broken) - set(good)):
            if self._versions.unpublish(name):
                _LOG.info("notebook %s is withdrawn", name)
        for name, bundle in good.items():
            if not self._is_published(bundle):
                self._versions.publish(bundle, now=self._clock())
                _LOG.info("notebook %s is published as version %s", name, bundle.version[:12])
        self._remember(set(good))
        known = {(item.file, item.problem) for item in self._notebooks}
        for item in found:
            if item.problem is not None and (item.file, item.problem) not in known:
                _LOG.warning("notebook %s is broken: %s", item.name, item.problem)
        self._notebooks = found
        self._seen = seen

    def _is_published(self, bundle: Bundle) -> bool:
        """Whether a bundle is the current version and can be read; what is damaged is told, and published again."""
        try:
            pointer = self._versions.current(bundle.name)
            if pointer is None or pointer.version != bundle.version:
                return False
            return self._versions.load(bundle.name, bundle.version) is not None
        except UnreadableVersionError as error:
            _LOG.warning("notebook %s is published again: %s", bundle.name, error)
            return False

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            seen = await self._threads.run(fingerprint, self._folder)
            pause = max(_LOOK_SECONDS, (time.monotonic() - began) * _WALK_SHARE)
            if seen != self._seen:
                await self._settle(seen)
                try:
                    await self._threads.run(self.refresh)
                except StoreUnavailableError as error:
                    _LOG.warning("the notebooks folder cannot be published: %s; retrying", error)
                except Exception:  # noqa: BLE001 - logged; one odd file must not end the watch over all others
                    _LOG.exception("the notebooks folder could not be read")
            await asyncio.sleep(pause)

    async def _settle(self, seen: Fingerprint) -> None:
        """Wait until nothing is being written: a file that is just being saved would be listed as broken for a moment."""
        for _ in range(_SETTLE_ROUNDS):
            await asyncio.sleep(_SETTLE_SECONDS)
            again = await self._threads.run(fingerprint, self._folder)
            if again == seen:
                return
            seen = again

    def _read_all(self) -> tuple[FolderNotebook, ...]:
        files = find_notebooks(self._folder)
        names = Counter(notebook_name_from_path(path.relative_to(self._folder).as_posix()) for path in files)
        found = []
        for path in files:
            file = path.relative_to(self._folder).as_posix()
            name = notebook_name_from_path(file)
            if names[name] > 1:
                others = [
                    other
                    for item in files
                    if (other := item.relative_to(self._folder).as_posix()) != file and notebook_name_from_path(other) == name
                ]
                problem = f"{file} and {', '.join(others)} would both be published as {name}; rename one"
                found.append(FolderNotebook(name, file, None, problem))
            else:
                found.append(self._read(path, name, file))
        return tuple(found)

    def _read(self, path: Path, name: str, file: str) -> FolderNotebook:
        try:
            source = read_source(self._folder, path)
            info = inspect_notebook(source.notebook)
            bundle = build_bundle(source.name, source.notebook, source.contract, source.assets, path=file)
            if source.contract is not None and self._checked.get(name) != bundle.version:
                check_contract(source.contract, info, profiles=self._profiles, validator=self._validator)
        except (SourceError, InvalidNotebookError, ContractError) as error:
            self._checked.pop(name, None)
            return FolderNotebook(name, file, None, str(error))
        self._checked[name] = bundle.version
        return FolderNotebook(name, file, bundle, None)

    def _remembered(self) -> set[str]:
        try:
            names = json.loads(self._state_file.read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return set()
        except OSError as error:
            raise StoreUnavailableError(f"cannot read {self._state_file.name}: {error.strerror or type(error).__name__}") from error
        return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()

    def _remember(self, names: set[str]) -> None:
        try:
            replace_file(self._state_file, json.dumps(sorted(names)).encode())
        except OSError as error:
            raise StoreUnavailableError(
                f"cannot write {self._state_file.name}: {error.strerror or type(error).__name__}"
            ) from error


def fingerprint(folder: Path) -> Fingerprint:
    """What changes when any file below a folder does: paths, times of change, sizes and inodes. Hidden files count for nothing."""
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in files:
            if name.startswith("."):
                continue
            path = os.path.join(root, name)  # noqa: PTH118 - thousands of files every second; no objects needed
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:
                found.append((path, 0, 0, 0))
            else:
                found.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(sorted(found))
