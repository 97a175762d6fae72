"""What remains of an attempt whose runner ended without a manifest: its log, so that its author can find out why."""

from podbook_api.backends.embedded.attempt import AttemptFolder
from podbook_core.execution.manifest import AttemptManifest, StoredFile
from podbook_core.execution.verdict import End
from podbook_core.results.attempts import Attempts
from podbook_core.store.base import ObjectStore
from podbook_core.store.keys import LOG_FILE, attempt_prefix
from podbook_core.text.digests import sha256_hex

__all__ = ["salvage"]

_RUNNER_VERSION = "unknown"


def salvage(store: ObjectStore, folder: AttemptFolder, end: End) -> AttemptManifest:
    """Store what is known as the attempt's log, and name it in a manifest; repeatable. Blocks.

    The log is what the cells had printed when the runner last stored it, then what the runner itself printed, then how it ended.

    Raises:
        StoreUnavailableError: try again later.
    """
    key = attempt_prefix(folder.uid, folder.attempt) + LOG_FILE
    last = f"the attempt ended without a result: {end.message or end.reason}\n".encode()
    printed = Attempts(store).log(folder.uid, folder.attempt)
    if not printed.endswith(last):
        printed += folder.printed() + last
        store.put(key, printed, media_type="text/plain")
    log = StoredFile(LOG_FILE, len(printed), sha256_hex(printed), "text/plain; charset=utf-8")
    return AttemptManifest(folder.uid, folder.attempt, end.reason, end.message, None, "", "", 0.0, 0, 0, (log,), _RUNNER_VERSION)
