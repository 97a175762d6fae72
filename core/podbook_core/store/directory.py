"""The object store in a directory: for the embedded mode. Atomic (rename), durable (fsync), safe for several processes.

Objects are plain files, so that a person can look at them. The ETag is the content's SHA-256; media types come from the file's
ending. Changes take turns by a lock file, for the moment of the rename only; the operating system releases it when its holder dies.
"""

import contextlib
import errno
import fcntl
import hashlib
import mimetypes
import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from io import BufferedReader
from itertools import islice
from pathlib import Path

from podbook_core.files import sync_folder, write_synced
from podbook_core.store.base import (
    InvalidKeyError,
    KeyNotFoundError,
    ObjectInfo,
    ObjectTooLargeError,
    OpenObject,
    PreconditionFailedError,
    StoredObject,
    StoreUnavailableError,
    can_have_keys,
    check_key,
)

__all__ = ["DirectoryStore"]

_CHUNK = 256 * 1024
_INTERNAL = ".podbook"
_MEDIA_TYPES = {
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".tar": "application/x-tar",
}


class DirectoryStore:
    """An :class:`~podbook_core.store.base.ObjectStore` below ``root``, which is created when missing."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._internal = self._root / _INTERNAL
        with _translated(f"the data directory {root} cannot be used"):
            self._internal.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        """The directory that holds the objects."""
        return self._root

    def put(
        self,
        key: str,
        data: bytes | Path,
        *,
        media_type: str = "application/octet-stream",  # noqa: ARG002 - a file's ending says it
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """See :meth:`ObjectStore.put <podbook_core.store.base.ObjectStore.put>`."""
        path = self._path(key)
        with _translated(f"cannot write {key}"):
            temporary, etag, size = self._write_temporary(data)
            try:
                with self._locked():
                    changed = _make_folder(path.parent)
                    if if_match is not None:
                        known = self.head(key)
                        if known is None or known.etag != if_match:
                            raise PreconditionFailedError(f"{key} has changed")
                    if if_none_match:
                        # link(2) fails when the name exists: create-only in one step.
                        try:
                            os.link(temporary, path)
                        except FileExistsError:
                            raise PreconditionFailedError(f"{key} exists") from None
                    else:
                        temporary.replace(path)
                for folder in changed:
                    sync_folder(folder)
            finally:
                temporary.unlink(missing_ok=True)
        return ObjectInfo(key, size, etag, _media_type(path))

    def get(self, key: str, *, limit: int, if_match: str | None = None) -> StoredObject:
        """See :meth:`ObjectStore.get <podbook_core.store.base.ObjectStore.get>`."""
        path = self._path(key)
        with _translated(f"cannot read {key}"):
            try:
                with _open_object(path) as file:
                    data = file.read(limit + 1)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise KeyNotFoundError(key) from None
        if len(data) > limit:
            raise ObjectTooLargeError(key, limit)
        info = ObjectInfo(key, len(data), hashlib.sha256(data).hexdigest(), _media_type(path))
        if if_match is not None and if_match != info.etag:
            raise PreconditionFailedError(f"{key} has changed")
        return StoredObject(info, data)

    def tail(self, key: str, *, limit: int) -> bytes:
        """See :meth:`ObjectStore.tail <podbook_core.store.base.ObjectStore.tail>`."""
        path = self._path(key)
        with _translated(f"cannot read {key}"):
            try:
                with _open_object(path) as file:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(size - limit, 0))
                    return file.read(limit)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise KeyNotFoundError(key) from None

    @contextmanager
    def open(self, key: str, *, if_match: str | None = None) -> Iterator[OpenObject]:
        """See :meth:`ObjectStore.open <podbook_core.store.base.ObjectStore.open>`."""
        path = self._path(key)
        with contextlib.ExitStack() as stack:
            with _translated(f"cannot read {key}"):
                try:
                    file = stack.enter_context(_open_object(path))
                    etag = hashlib.file_digest(file, "sha256").hexdigest()
                    size = file.tell()
                    file.seek(0)
                except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                    raise KeyNotFoundError(key) from None
            if if_match is not None and if_match != etag:
                raise PreconditionFailedError(f"{key} has changed")
            yield OpenObject(ObjectInfo(key, size, etag, _media_type(path)), iter(lambda: file.read(_CHUNK), b""))

    def head(self, key: str) -> ObjectInfo | None:
        """See :meth:`ObjectStore.head <podbook_core.store.base.ObjectStore.head>`."""
        try:
            with self.open(key) as found:
                return found.info
        except KeyNotFoundError:
            return None

    def modified(self, key: str) -> datetime | None:
        """See :meth:`ObjectStore.modified <podbook_core.store.base.ObjectStore.modified>`."""
        with _translated(f"cannot read {key}"), contextlib.suppress(FileNotFoundError, NotADirectoryError, InvalidKeyError):
            path = self._path(key)
            if path.is_file():
                return datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return None

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> list[str]:
        """See :meth:`ObjectStore.list <podbook_core.store.base.ObjectStore.list>`."""
        if not can_have_keys(prefix) or prefix.startswith(f"{_INTERNAL}/"):
            return []
        folder = prefix.rpartition("/")[0]
        with _translated(f"cannot list {prefix}"):
            found: list[str] = []
            for key in self._walk(folder, prefix, start_after):
                if len(found) >= limit:
                    break
                found.append(key)
            return found

    def describe(self, prefix: str, names: Collection[str]) -> dict[str, ObjectInfo]:
        """See :meth:`ObjectStore.describe <podbook_core.store.base.ObjectStore.describe>`."""
        found = {prefix + name: self.head(prefix + name) for name in names}
        return {key: replace(info, media_type="") for key, info in found.items() if info is not None}

    def folders(self, prefix: str, *, limit: int) -> Sequence[str]:
        """See :meth:`ObjectStore.folders <podbook_core.store.base.ObjectStore.folders>`."""
        if not can_have_keys(prefix) or prefix.startswith(f"{_INTERNAL}/"):
            return []
        with _translated(f"cannot list {prefix}"):
            try:
                found = [entry.name for entry in os.scandir(self._root / prefix) if entry.is_dir(follow_symlinks=False)]
            except (FileNotFoundError, NotADirectoryError):
                return []
            # Empty folders may be left by a deletion at this moment; they hold nothing.
            named = (name for name in sorted(found) if name != _INTERNAL and self.list(f"{prefix}{name}/", limit=1))
            return list(islice(named, limit))

    def delete(self, key: str) -> None:
        """See :meth:`ObjectStore.delete <podbook_core.store.base.ObjectStore.delete>`."""
        with (
            _translated(f"cannot delete {key}"),
            contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, InvalidKeyError),
        ):
            path = self._path(key)
            # Under the lock, so that no folder is taken from under an object that is being written.
            with self._locked():
                path.unlink()
                self._remove_empty_parents(path)

    def delete_prefix(self, prefix: str) -> int:
        """See :meth:`ObjectStore.delete_prefix <podbook_core.store.base.ObjectStore.delete_prefix>`."""
        removed = 0
        while keys := self.list(prefix):
            for key in keys:
                self.delete(key)
            removed += len(keys)
        return removed

    def check(self) -> None:
        """See :meth:`ObjectStore.check <podbook_core.store.base.ObjectStore.check>`."""
        what = f"the data directory {self._root} is not writable"
        with _translated(what):
            os.statvfs(self._internal)
        if not os.access(self._internal, os.R_OK | os.W_OK | os.X_OK):  # says no where the file system is read-only, too
            raise StoreUnavailableError(what)

    def _path(self, key: str) -> Path:
        check_key(key)
        parts = key.split("/")
        if parts[0] == _INTERNAL:
            raise InvalidKeyError(key)
        return self._root.joinpath(*parts)

    def _write_temporary(self, data: bytes | Path) -> tuple[Path, str, int]:
        descriptor, name = tempfile.mkstemp(dir=self._internal)
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in _chunks(data):
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        try:
            write_synced(descriptor, counted())
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return Path(name), digest.hexdigest(), size

    def _remove_empty_parents(self, path: Path) -> None:
        """Remove the folders that the removal of an object has left empty, up to the root."""
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:
                return  # it holds something

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._internal / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _walk(self, folder: str, prefix: str, start_after: str) -> Iterator[str]:
        """Keys below a folder, in byte order, skipping what the prefix or the start rule out without reading it."""
        path = self._root / folder if folder else self._root
        try:
            entries = list(os.scandir(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        base = f"{folder}/" if folder else ""
        # A folder sorts as "name/", as its keys do: "a.b" comes before "a/b", since "." < "/".
        named = sorted(base + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in entries)
        for name in named:
            if name.endswith("/"):
                if name == f"{_INTERNAL}/" or not (name.startswith(prefix) or prefix.startswith(name)):
                    continue
                if start_after.startswith(name) or name > start_after:
                    yield from self._walk(name.rstrip("/"), prefix, start_after)
            elif name.startswith(prefix) and name > start_after:
                yield name


def _chunks(data: bytes | Path) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    with data.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _media_type(path: Path) -> str:
    return _MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _make_folder(path: Path) -> list[Path]:
    """Create a folder with its parents. Returns all to be synced: a file is only as safe as the names that lead to it."""
    changed = [path]
    while not path.is_dir():
        path = path.parent
        changed.append(path)
    changed[0].mkdir(parents=True, exist_ok=True)
    return changed


def _open_object(path: Path) -> BufferedReader:
    """Open an object for reading. Notebooks can write here: a pipe in its place must not block, and a link must not lead elsewhere.

    Raises:
        FileNotFoundError: there is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:  # it is a link
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return os.fdopen(descriptor, "rb")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(f"{what}: {error.strerror or error}") from error
