"""Signed links: a URL that opens one artifact of one execution for at most fifteen minutes, for browsers, which cannot send keys."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from podbook_core.files import replace_file

__all__ = ["MAX_LINK_SECONDS", "ExpiredLinkError", "InvalidLinkError", "InvalidSecretError", "LinkSigner"]

MAX_LINK_SECONDS = 900
_MIN_SECRET = 32


class InvalidLinkError(Exception):
    """The signature does not belong to this address."""


class ExpiredLinkError(Exception):
    """The link was good and is no more."""


class InvalidSecretError(Exception):
    """The secret file cannot be used; says why in one line."""


@dataclass(frozen=True, slots=True, repr=False)
class LinkSigner:
    """Signs and checks links with HMAC-SHA-256. Every replica needs the same secret."""

    secret: bytes

    @classmethod
    def random(cls) -> Self:
        """A signer whose links end with the process."""
        return cls(secrets.token_bytes(_MIN_SECRET))

    @classmethod
    def from_file(cls, path: Path, *, create: bool = False) -> Self:
        """The signer of a secret file, which is made (readable by its owner only) when ``create`` says so.

        Raises:
            InvalidSecretError: the file cannot be read or made, or holds less than 32 bytes.
        """
        try:
            if create and not path.exists():
                replace_file(path, secrets.token_bytes(_MIN_SECRET).hex().encode())
            secret = path.read_bytes().strip()
        except OSError as error:
            raise InvalidSecretError(f"the link secret {path} cannot be used: {error.strerror}") from error
        if len(secret) < _MIN_SECRET:
            raise InvalidSecretError(f"the link secret {path} is {len(secret)} bytes; at least {_MIN_SECRET} are required")
        return cls(secret)

    def sign(self, execution: str, uid: str, artifact: str, expires: int) -> str:
        """The signature of a link that is good until ``expires`` (seconds since 1970).

        The uid is signed as well: a name can come again, where an execution is removed and its idempotency key used once more.
        """
        # The parts cannot hold a line feed that would make two links one: ids and paths with control characters are refused.
        message = f"podbook-link-2\n{execution}\n{uid}\n{artifact}\n{expires}".encode()
        digest = hmac.new(self.secret, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def check(self, execution: str, uid: str, artifact: str, *, expires: int, signature: str, now: datetime) -> None:
        """Whether a link opens this artifact of this one execution now.

        Raises:
            InvalidLinkError: the signature is another's, or something was changed.
            ExpiredLinkError: its time is over.
        """
        if not hmac.compare_digest(self.sign(execution, uid, artifact, expires).encode(), signature.encode()):
            raise InvalidLinkError
        if now.timestamp() >= expires:
            raise ExpiredLinkError
