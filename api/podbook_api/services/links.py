"""Signed links: one artifact of one execution, for whoever has the link, for at most fifteen minutes. Doors make addresses of them."""

from dataclasses import dataclass
from datetime import datetime

from podbook_api.auth import links
from podbook_api.auth.keys import Caller
from podbook_api.services.context import Context
from podbook_api.services.errors import InvalidLinkError, LinkExpiredError
from podbook_core.execution.model import NotebookExecution

__all__ = ["Link", "LinkService"]


@dataclass(frozen=True, slots=True)
class Link:
    """What a link opens, until when, and the signature that says so."""

    execution: str
    artifact: str
    """``html``, ``report``, ``notebook``, ``output``, ``logs``, ``events``, or ``files/<path>``."""
    expires: int
    """Seconds since 1970."""
    signature: str
    until: datetime


class LinkService:
    """Signs links and opens them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def sign(self, execution: NotebookExecution, artifact: str, *, seconds: int) -> Link:
        """A link to an artifact of an execution that the caller was found to be allowed to read.

        Whether there is such an artifact is said when the link is opened.
        """
        now = self._context.clock()
        expires = int(now.timestamp()) + seconds
        signature = self._context.links.sign(execution.name, artifact, expires)
        return Link(execution.name, artifact, expires, signature, now.fromtimestamp(expires, tz=now.tzinfo))

    def bearer(self, name: str, artifact: str, *, expires: int, signature: str) -> Caller:
        """Who has a link: somebody without a name, who may read this execution. Let it at this one artifact only.

        Raises:
            InvalidLinkError: the link was not made here, or was changed.
            LinkExpiredError: its time is over.
        """
        try:
            self._context.links.check(name, artifact, expires=expires, signature=signature, now=self._context.clock())
        except links.InvalidLinkError:
            raise InvalidLinkError from None
        except links.ExpiredLinkError:
            raise LinkExpiredError from None
        return Caller(None, (f"executions/{name}/read",))
