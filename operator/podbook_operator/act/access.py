"""Signed access: links that reach exactly the objects of one execution and die by themselves.

A runner pod holds no bucket keys. It may read the version it runs and the inputs that were named, and write below its execution's
attempts; the record's digests and ETags pin what counts.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from podbook_core.execution.deadlines import access_seconds
from podbook_core.execution.model import ATTEMPTS_LIMIT
from podbook_core.execution.task import Destination

__all__ = ["MAX_VALIDITY", "Signed", "SignedPlaces", "Signer", "validity_seconds"]

MAX_VALIDITY = 7 * 24 * 3600
"""The longest a signature can last (AWS Signature Version 4)."""
_SLACK = 600
MAX_OBJECT_BYTES = 1024**3
"""The largest object an attempt may write; what it may write in all is bounded by the runner."""


class Signer(Protocol):
    """What can sign access to the bucket; :class:`podbook_core.store.s3.S3Store` does.

    Signing makes no request, unless the signer's own credentials are renewed from time to time: then their issuer may be asked.
    """

    @property
    def renewed_credentials(self) -> bool:
        """Whether the credentials that sign are replaced before they end."""
        ...

    def credentials_end(self) -> datetime | None:
        """When the credentials that sign now end, and with them all that they signed; None where that is not known.

        Raises :class:`podbook_core.store.base.StoreUnavailableError` when they have ended and there are no new ones.
        """
        ...

    def presign_get(self, key: str, seconds: int) -> str:
        """A URL that reads one object."""
        ...

    def presign_post(self, prefix: str, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and form fields that write any object below a prefix."""
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """When access was signed, and until when the credentials last that signed it."""

    at: datetime
    until: datetime


class SignedPlaces:
    """The bucket as a pod reaches it: by signatures that last for some seconds.

    Args:
        signer: signs.
        seconds: how long the access lasts.
    """

    def __init__(self, signer: Signer, seconds: int) -> None:
        self._signer, self._seconds = signer, seconds

    def url(self, key: str) -> str:
        """See :class:`podbook_core.execution.task_building.Places`."""
        return self._signer.presign_get(key, self._seconds)

    def destination(self, prefix: str) -> Destination:
        """See :class:`podbook_core.execution.task_building.Places`."""
        url, fields = self._signer.presign_post(prefix, MAX_OBJECT_BYTES, self._seconds)
        return Destination("post", url, prefix, fields)


def validity_seconds(*, start: int, timeout: int, publish: int, queue: int = 0) -> int:
    """How long access is signed for, in seconds: for every attempt there may be, as far as a signature can last.

    There may be five attempts whatever ``spec.retries`` says, because disruptions do not count.
    """
    needed = access_seconds(attempts=ATTEMPTS_LIMIT, start=start, timeout=timeout, publish=publish, queue=queue)
    return min(needed + _SLACK, MAX_VALIDITY)
