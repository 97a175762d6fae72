"""History without a database: index entries whose names sort newest first, and pages that join what lives with what has ended. Pure.

An entry's key is ``index/<scope>/<reverse creation time>-<uid>-<Reason>``. Scopes are ``all``, ``notebook/<name>`` and
``submitter/<key id>``. The order is (creation time descending, uid ascending) and the cursor is that pair, so that a page never
changes because something newer arrived.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from podbook_core.execution.reasons import Phase, Reason, phase_of
from podbook_core.store.keys import INDEX
from podbook_core.text.names import label_value

__all__ = ["Cursor", "Entry", "InvalidCursorError", "index_keys", "parse_index_key", "scope_prefix"]

_FAR = 10**13
"""Milliseconds in the year 2286; reverse times count down from it, always in 13 digits."""
_CURSOR_LENGTH = 200
_UID = re.compile(r"[A-Za-z0-9-]{1,64}")


class InvalidCursorError(Exception):
    """The text is not a cursor that this service returned."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One execution in a list, and where it stands in it."""

    created_ms: int
    """Creation time in milliseconds since 1970, UTC."""
    uid: str
    reason: Reason

    @property
    def order(self) -> tuple[int, str]:
        """Newest first, then by uid."""
        return (-self.created_ms, self.uid)

    @property
    def phase(self) -> Phase:
        """The phase of its reason."""
        return phase_of(self.reason)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended: its last entry's creation time and uid."""

    created_ms: int
    uid: str

    @property
    def order(self) -> tuple[int, str]:
        """Comparable with :attr:`Entry.order`."""
        return (-self.created_ms, self.uid)

    def text(self) -> str:
        """The cursor as clients see it: opaque, safe in a URL."""
        return base64.urlsafe_b64encode(json.dumps([self.created_ms, self.uid]).encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor.

        Raises:
            InvalidCursorError: it is none.
        """
        wrong = InvalidCursorError("cursor must be one that this service returned; omit it to start again")
        if len(text) > _CURSOR_LENGTH:
            raise wrong
        try:
            created, uid = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, TypeError):
            raise wrong from None
        if isinstance(created, bool) or not isinstance(created, int) or not 0 <= created < _FAR:
            raise wrong
        # The uid becomes part of a key.
        if not isinstance(uid, str) or not _UID.fullmatch(uid):
            raise wrong
        return cls(created, uid)


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round((moment - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000)


def scope_prefix(*, notebook: str | None = None, submitter: str | None = None) -> str:
    """Where the index of a scope lies: one submitter's, one notebook's, or all."""
    if submitter is not None:
        return f"{INDEX}submitter/{label_value(submitter)}/"
    if notebook is not None:
        return f"{INDEX}notebook/{notebook}/"
    return f"{INDEX}all/"


def index_keys(entry: Entry, *, notebook: str, submitter: str | None) -> list[str]:
    """Every key an ended execution is listed under."""
    leaf = f"{_FAR - 1 - entry.created_ms:013d}-{entry.uid}-{entry.reason}"
    scopes = [scope_prefix(), scope_prefix(notebook=notebook)]
    if submitter is not None:
        scopes.append(scope_prefix(submitter=submitter))
    return [scope + leaf for scope in scopes]


def parse_index_key(key: str) -> Entry | None:
    """The entry of a key, None when it is not one (an index may hold what a newer version wrote)."""
    leaf = key.rpartition("/")[2]
    reverse, _, rest = leaf.partition("-")
    uid, _, reason = rest.rpartition("-")
    if not (reverse.isdecimal() and uid and reason in set(Reason)):
        return None
    return Entry(_FAR - 1 - int(reverse), uid, Reason(reason))


def start_after(prefix: str, cursor: Cursor | None) -> str:
    """The key a store's list continues after, so that the first key returned is the first one behind the cursor."""
    if cursor is None:
        return ""
    # "~" sorts after every reason's letters: the cursor's own entry is behind us whatever it ended by.
    return f"{prefix}{_FAR - 1 - cursor.created_ms:013d}-{cursor.uid}-~"


def merge(live: Sequence[Entry], past: Sequence[Entry], *, limit: int) -> list[Entry]:
    """The first ``limit`` of two sorted lists; what is in both (ended, and not yet gone) counts once, as the live one."""
    known = {entry.uid for entry in live}
    joined = sorted([*live, *(entry for entry in past if entry.uid not in known)], key=lambda entry: entry.order)
    return joined[:limit]
