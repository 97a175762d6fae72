"""API keys: who calls, and what they may do. The file holds hashes only, so that reading it does not reveal a key.

The file::

    {"keys": [{"id": "ci", "hash": "sha256:<hex>", "scopes": ["notebooks/analysis/run"], "created": "…", "expires": "…"}]}

A scope is ``resource/name/action`` with globs (``*``) on whole segments; segments omitted at the end stand for ``*``. Resources and
actions: ``notebooks`` with ``read``, ``run``, ``write``; ``executions`` with ``read``, ``cancel``, ``delete`` for the runs of others (a
key may always do that to its own). To run or write a notebook includes to read it.
"""

import fnmatch
import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from podbook_core.text.model_errors import problems

__all__ = ["Anonymous", "Caller", "InvalidKeysFileError", "KeyEntry", "KeyFile", "Keyring", "Keys", "create_key", "key_hash"]

_log = logging.getLogger(__name__)
_PREFIX = "pbk_"
_SCOPE = r"^[a-z*]+(/[A-Za-z0-9._*?-]+){0,2}$"


class InvalidKeysFileError(Exception):
    """The keys file cannot be used; says why in one line."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a request. ``id`` is the key's id, None for an anonymous caller."""

    id: str | None
    scopes: tuple[str, ...]

    def may(self, resource: str, name: str, action: str) -> bool:
        """Whether a scope covers an action on one thing. Pure."""
        wanted = (resource, name, action)
        return any(_covers(scope, wanted) for scope in self.scopes)

    def may_read_notebook(self, name: str) -> bool:
        """Whether the notebook may be seen: read, or anything that includes it."""
        return any(self.may("notebooks", name, action) for action in ("read", "run", "write"))

    @property
    def sees_all_executions(self) -> bool:
        """Whether other callers' executions are in its lists."""
        return self.may("executions", "*", "read")


def _covers(scope: str, wanted: tuple[str, str, str]) -> bool:
    parts = scope.split("/")
    parts += ["*"] * (3 - len(parts))
    return all(pattern in ("*", value) or fnmatch.fnmatchcase(value, pattern) for value, pattern in zip(wanted, parts, strict=True))


class KeyEntry(BaseModel):
    """One key as the file holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$", description="Name of the key, in logs and submittedBy.")
    ]
    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="SHA-256 of the key.")]
    scopes: Annotated[list[Annotated[str, Field(pattern=_SCOPE)]], Field(description="What it may do.")]
    created: Annotated[AwareDatetime | None, Field(description="When it was created, RFC 3339.")] = None
    expires: Annotated[AwareDatetime | None, Field(description="When it stops working, RFC 3339; never when absent.")] = None


class KeyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: list[KeyEntry]


def key_hash(plain: str) -> str:
    """What the file holds of a key. Keys are random, so a plain hash cannot be searched."""
    return "sha256:" + hashlib.sha256(plain.encode()).hexdigest()


def create_key(key_id: str, scopes: Iterable[str], *, expires: datetime | None, now: datetime) -> tuple[str, KeyEntry]:
    """A new key: the text to hand over, which is nowhere kept, and the entry for the file.

    Raises:
        pydantic.ValidationError: id or scopes are not valid.
    """
    plain = _PREFIX + secrets.token_urlsafe(32)
    return plain, KeyEntry(id=key_id, hash=key_hash(plain), scopes=list(scopes), created=now, expires=expires)


class Keys(Protocol):
    """Finds out who calls."""

    def caller(self, presented: str | None, *, now: datetime) -> Caller | None:
        """The caller behind a presented key, None when there is none such (or it has expired)."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the keys in use may be out of date, None when all is well."""
        ...

    @property
    def required(self) -> bool:
        """Whether a caller must present a key."""
        ...


class Anonymous:
    """No keys: everyone may do everything, and callers have no name."""

    problem: str | None = None
    required = False

    def caller(self, presented: str | None, *, now: datetime) -> Caller | None:  # noqa: ARG002 - as the Protocol has it
        """Everyone, whatever they present."""
        return Caller(None, ("*",))


class Keyring:
    """The keys of a file, read again when the file changes. A file that turns bad leaves the last good keys in force.

    Args:
        path: the file.

    Raises:
        InvalidKeysFileError: it cannot be used at the start.
    """

    required = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen = _fingerprint(path)
        self._entries = _read(path)
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the last good keys are still in use."""
        self._refresh()
        return self._problem

    def caller(self, presented: str | None, *, now: datetime) -> Caller | None:
        """The caller behind a key."""
        self._refresh()
        if presented is None:
            return None
        digest, found = key_hash(presented), None
        for entry in self._entries:  # every entry is compared, so that time tells nothing about which one matched
            if hmac.compare_digest(entry.hash, digest):
                found = entry
        if found is None or (found.expires is not None and found.expires <= now):
            return None
        return Caller(found.id, tuple(found.scopes))

    def _refresh(self) -> None:
        with self._lock:
            seen = _fingerprint(self._path)
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._entries = _read(self._path)
                self._problem = None
            except InvalidKeysFileError as error:
                self._problem = f"{error}; the keys read before stay valid"
                _log.error("%s", self._problem)


def _fingerprint(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - asked for with every request, and half as expensive as Path.stat
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def _read(path: Path) -> tuple[KeyEntry, ...]:
    try:
        raw: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidKeysFileError(f"the keys file {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidKeysFileError(f"the keys file {path} is not valid JSON") from error
    try:
        entries = KeyFile.model_validate(raw).keys
    except ValidationError as error:
        raise InvalidKeysFileError(f"the keys file {path} is not valid: {problems(error)}") from error
    ids = [entry.id for entry in entries]
    if len(set(ids)) < len(ids):
        raise InvalidKeysFileError(f"the keys file {path} has two keys with the same id")
    return tuple(entries)
