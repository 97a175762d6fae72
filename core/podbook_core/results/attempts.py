"""What attempts left in the store, read as the untrusted input it is: bounded, checked, and only of the attempt it claims to be of.

One reader for operator, supervisor and API, so that all of them believe the same. Calls block.
"""

import logging

from podbook_core.execution.manifest import AttemptManifest, InvalidManifestError
from podbook_core.execution.model import Progress
from podbook_core.execution.progress import parse_progress
from podbook_core.store.base import KeyNotFoundError, ObjectStore, ObjectTooLargeError
from podbook_core.store.keys import LOG_FILE, PROGRESS_FILE, RESULT_FILE, attempt_prefix, attempts_prefix, result_key
from podbook_core.store.limits import MAX_LOG_BYTES, MAX_MANIFEST_BYTES, MAX_PROGRESS_BYTES

__all__ = ["Attempts"]

_LOG = logging.getLogger(__name__)
_FOLDERS = 20
"""Attempts of one execution that are looked at: there are five, and a notebook may have made up more."""


class Attempts:
    """Reads what the attempts of executions wrote.

    Args:
        store: where they wrote it. Every method may raise its ``StoreUnavailableError``.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def manifest(self, uid: str, attempt: str) -> AttemptManifest | None:
        """What an attempt says it did; None when it says nothing that counts."""
        try:
            data = self._store.get(result_key(uid, attempt), limit=MAX_MANIFEST_BYTES).data
            manifest = AttemptManifest.from_json(data)
        except KeyNotFoundError:
            return None
        except (ObjectTooLargeError, InvalidManifestError) as error:
            # The kernel could have written it; what is not of the documented shape was not written by our runner.
            _LOG.warning("attempt %s of %s left a manifest that is not valid: %s", attempt, uid, error)
            return None
        if (manifest.uid, manifest.attempt) != (uid, attempt):
            _LOG.warning("attempt %s of %s left the manifest of another attempt", attempt, uid)
            return None
        return manifest

    def manifests(self, uid: str) -> dict[str, AttemptManifest | None]:
        """What every attempt says that has said anything, in the order they ended by their own word."""
        found = [(attempt, self.manifest(uid, attempt)) for attempt in self._folders(uid) if self._has(uid, attempt, RESULT_FILE)]
        return dict(sorted(found, key=lambda item: item[1].end_time if item[1] is not None else ""))

    def progress(self, uid: str, attempt: str) -> Progress | None:
        """How far an attempt is; None when it has not said so in a way that can be understood."""
        try:
            data = self._store.get(attempt_prefix(uid, attempt) + PROGRESS_FILE, limit=MAX_PROGRESS_BYTES).data
        except (KeyNotFoundError, ObjectTooLargeError):
            return None
        found = parse_progress(data)
        return None if found is None else Progress(completed=found[0], total=found[1])

    def running_progress(self, uid: str) -> Progress | None:
        """How far the attempt is that runs; None when that is not known."""
        attempt = self._running(uid, PROGRESS_FILE)
        return None if attempt is None else self.progress(uid, attempt)

    def running_log(self, uid: str) -> bytes:
        """The newest mebibyte of what the attempt that runs has printed, as the runner stored it last; empty when there is none."""
        attempt = self._running(uid, LOG_FILE)
        if attempt is None:
            return b""
        return self.log(uid, attempt)

    def log(self, uid: str, attempt: str) -> bytes:
        """The newest mebibyte of an attempt's log; empty when there is none."""
        try:
            return self._store.tail(attempt_prefix(uid, attempt) + LOG_FILE, limit=MAX_LOG_BYTES)
        except KeyNotFoundError:
            return b""

    def _running(self, uid: str, name: str) -> str | None:
        """The attempt that runs: the one without a manifest. Attempts follow one another, so there is at most one."""
        attempts = self._folders(uid)
        if len(attempts) < 2:
            return attempts[0] if attempts else None
        found = [attempt for attempt in attempts if self._has(uid, attempt, name)]
        running = [attempt for attempt in found if not self._has(uid, attempt, RESULT_FILE)]
        return (running or found)[-1] if found else None

    def _folders(self, uid: str) -> list[str]:
        return list(self._store.folders(attempts_prefix(uid), limit=_FOLDERS))

    def _has(self, uid: str, attempt: str, name: str) -> bool:
        # A listing, because a directory store reads a whole object to tell its ETag.
        key = attempt_prefix(uid, attempt) + name
        return self._store.list(key, limit=1) == [key]
