"""Signed links: one artifact of one execution, for the holder of the link, for at most fifteen minutes. Doors turn them into URLs."""

from dataclasses import dataclass
from datetime import datetime

from podbook_api.auth import links
from podbook_api.auth.keys import Caller
from podbook_api.services.access import Access
from podbook_api.services.context import Context
from podbook_api.services.errors import InvalidLinkError, LinkExpiredError
from podbook_api.services.executions import ExecutionService
from podbook_core.execution.model import NotebookExecution

__all__ = ["Link", "LinkService"]


@dataclass(frozen=True, slots=True)
class Link:
    """What a link opens, until when, and the signature that says so."""

    execution: str
    uid: str
    """A name can come again, where an execution is removed: the link is for this one."""
    artifact: str
    """``html``, ``report``, ``notebook``, ``output``, ``logs``, ``events``, or ``files/<path>``."""
    expires: int
    """Seconds since 1970."""
    signature: str
    until: datetime


class LinkService:
    """Signs links and opens them."""

    def __init__(self, context: Context, executions: ExecutionService) -> None:
        self._context, self._executions = context, executions

    def sign(self, execution: NotebookExecution, artifact: str, *, seconds: int) -> Link:
        """A link to an artifact of an execution that the caller was found to be allowed to read.

        Whether there is such an artifact is said when the link is opened.
        """
        now = self._context.clock()
        expires = int(now.timestamp()) + seconds
        signature = self._context.links.sign(execution.name, execution.uid, artifact, expires)
        return Link(execution.name, execution.uid, artifact, expires, signature, now.fromtimestamp(expires, tz=now.tzinfo))

    async def access(self, name: str, uid: str, artifact: str, *, expires: int, signature: str) -> Access:
        """What the holder of a link may read: this one execution, and of it this one artifact, which the door sees to.

        Raises:
            InvalidLinkError: the link was not made here, was changed, or was made for an earlier execution of this name.
            LinkExpiredError: its time is over.
            ExecutionNotFoundError: what it was made for is gone.
        """
        clock = self._context.clock
        try:
            self._context.links.check(name, uid, artifact, expires=expires, signature=signature, now=clock())
        except links.InvalidLinkError:
            raise InvalidLinkError from None
        except links.ExpiredLinkError:
            raise LinkExpiredError from None
        bearer = Caller(None, (f"executions/{name}/read",))
        if (await self._executions.find(bearer, name)).uid != uid:
            raise InvalidLinkError("this link was signed for an earlier execution of this name, which was deleted")
        return Access(bearer, f"link {name}", lambda execution: execution.uid == uid and clock().timestamp() < expires)
