"""The object store as Podbook needs it: the small common ground of S3 and a directory.

Calls block; callers on an event loop run them in threads. Every method raises :class:`StoreUnavailableError` when the store cannot
be reached or used, and never hangs longer than its adapter's time-outs.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

__all__ = [
    "InvalidKeyError",
    "KeyNotFoundError",
    "ObjectInfo",
    "ObjectStore",
    "ObjectTooLargeError",
    "OpenObject",
    "PreconditionFailedError",
    "StoreError",
    "StoreUnavailableError",
    "StoredObject",
    "can_have_keys",
    "check_key",
]

_KEY_BYTES = 1024
_PART_BYTES = 255


class StoreError(Exception):
    """Base of the store's errors.

    StoreError
    ├── KeyNotFoundError          there is no such object
    │   └── InvalidKeyError       and there can be none: the key is not one
    ├── ObjectTooLargeError       the object is larger than its reader is willing to hold
    ├── PreconditionFailedError   If-Match or If-None-Match did not hold
    └── StoreUnavailableError     the store cannot be reached, refuses us, or has no room
    """


class KeyNotFoundError(StoreError):
    """There is no object of this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no object {key}")
        self.key = key


class InvalidKeyError(KeyNotFoundError):
    """No object can have this key. Reading it finds nothing; writing it is a mistake of the program."""


class ObjectTooLargeError(StoreError, ValueError):
    """The object is larger than its reader is willing to hold in memory; nothing beyond the limit was read.

    Trying again does not help: whoever wrote the object made it that large. A ``ValueError`` as well, because a document of that size is
    as unreadable as one of the wrong shape, and readers treat both alike.
    """

    def __init__(self, key: str, limit: int) -> None:
        super().__init__(f"{key} is larger than {limit} bytes")
        self.key = key
        self.limit = limit


class PreconditionFailedError(StoreError):
    """The object exists although it must not, or its ETag is another than expected (HTTP 412)."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached, refuses the credentials, or has no room. Trying again later may help."""


def check_key(key: str) -> None:
    """Refuse what is not a valid key: keys are built from checked names, and this is the last line of defence against traversal.

    A key is 1 to 1,024 bytes of UTF-8 (S3 API); its parts between ``/`` are 1 to 255 bytes (file systems), and never ``.`` or ``..``.

    Raises:
        InvalidKeyError: it is none.
    """
    try:
        parts = key.encode().split(b"/")
    except UnicodeEncodeError:
        raise InvalidKeyError(ascii(key)) from None
    if len(key.encode()) > _KEY_BYTES or "\x00" in key or any(p in (b"", b".", b"..") or len(p) > _PART_BYTES for p in parts):
        raise InvalidKeyError(key)


def can_have_keys(prefix: str) -> bool:
    """Whether any key can start with a prefix."""
    folder, slash, _ = prefix.rpartition("/")
    try:
        check_key(folder if slash else "any")
    except InvalidKeyError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object. ``etag`` is opaque and changes with the content."""

    key: str
    size: int
    etag: str
    media_type: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object with its whole content."""

    info: ObjectInfo
    data: bytes


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object whose content is read piece by piece."""

    info: ObjectInfo
    chunks: Iterator[bytes]


class ObjectStore(Protocol):
    """Objects by key. Keys are relative paths with ``/`` (see :func:`check_key`); lists are in the keys' UTF-8 byte order.

    No key may be another one's folder: there is never both ``a`` and ``a/b``.
    """

    def put(
        self,
        key: str,
        data: bytes | Path,
        *,
        media_type: str = "application/octet-stream",
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Write a whole object, atomically and durably. ``data`` is the content, or a file that holds it.

        Raises:
            PreconditionFailedError: ``if_none_match`` and it exists, or ``if_match`` is not its ETag.
        """
        ...

    def get(self, key: str, *, limit: int, if_match: str | None = None) -> StoredObject:
        """Read a whole object of at most ``limit`` bytes.

        Every reader names its limit: many keys can be written by notebooks, and a reader that trusts their size is ended by the first
        one that is larger than its memory.

        Raises:
            KeyNotFoundError: there is none.
            ObjectTooLargeError: it is larger. At most one chunk beyond the limit was read.
            PreconditionFailedError: ``if_match`` is not its ETag.
        """
        ...

    def tail(self, key: str, *, limit: int) -> bytes:
        """The last ``limit`` bytes of an object, however large it is, without reading what comes before them.

        Raises:
            KeyNotFoundError: there is none.
        """
        ...

    def open(self, key: str, *, if_match: str | None = None) -> AbstractContextManager[OpenObject]:
        """Read an object in chunks; close by leaving the context. Errors as :meth:`get`."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What is known of an object, None when there is none."""
        ...

    def modified(self, key: str) -> datetime | None:
        """When an object was last written, by the store's clock, in UTC; None when there is none."""
        ...

    def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> list[str]:
        """At most ``limit`` keys that start with ``prefix`` and come after ``start_after``, in order.

        Both are keys or the beginnings of some: a part ``.`` or ``..`` is in none.
        """
        ...

    def describe(self, prefix: str, names: Collection[str]) -> dict[str, ObjectInfo]:
        """What is known of ``prefix + name`` for each name, by key, in as few requests as the store allows; without those that are not there.

        Media types are left empty: a listing does not tell them. What else lies below the prefix, and how much, makes no difference.
        """
        ...

    def folders(self, prefix: str, *, limit: int) -> Sequence[str]:
        """The first ``limit`` names directly below a prefix that hold objects, in order, without listing those objects.

        ``prefix`` is empty or ends with ``/``. With ``a/b/c`` and ``a/d`` stored, the folders of ``a/`` are ``["b"]``.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""
        ...

    def delete_prefix(self, prefix: str) -> int:
        """Remove every object below a prefix; repeatable. Returns how many were removed."""
        ...

    def check(self) -> None:
        """Prove that the store can be used, without writing to it: anyone may ask, as often as they like.

        Raises:
            StoreUnavailableError: it cannot; the message says why in one line.
        """
        ...
