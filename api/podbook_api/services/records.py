"""The records as the API reads them: one that is damaged, or that a newer version wrote, takes nothing else along."""

import logging

from podbook_api.services.errors import UnreadableError
from podbook_core.results.record import Record, RecordStore
from podbook_core.store.base import ObjectStore

__all__ = ["ReadableRecords"]

_log = logging.getLogger(__name__)


class ReadableRecords:
    """Reads records. Calls block."""

    def __init__(self, store: ObjectStore) -> None:
        self._records = RecordStore(store)

    def read(self, uid: str) -> Record | None:
        """The record of an execution, None while it has none or when it cannot be read: a list goes on without it."""
        try:
            return self._records.read(uid)
        except ValueError as error:
            _log.error("the record of %s cannot be read (%s)", uid, type(error).__name__)
            return None

    def read_summary(self, uid: str) -> Record | None:
        """The same without the execution's parameters."""
        try:
            return self._records.read_summary(uid)
        except ValueError as error:
            _log.error("the record of %s cannot be read (%s)", uid, type(error).__name__)
            return None

    def read_by_name(self, name: str) -> Record | None:
        """The record of the newest ended execution of a name, None when there is none.

        Raises:
            UnreadableError: it cannot be read. It is not taken for none: an idempotency key would run its execution again.
        """
        try:
            return self._records.read_by_name(name)
        except ValueError as error:
            _log.error("the record of %s cannot be read (%s)", name, type(error).__name__)
            raise UnreadableError(
                f"the record of execution {name} cannot be read: it is damaged, or a newer version wrote it; reindex names its key",
            ) from None
