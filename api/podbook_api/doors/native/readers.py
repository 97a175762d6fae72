"""Who reads an artifact: a caller with a key, or the holder of a signed link, because browsers cannot send keys."""

from typing import Annotated

from fastapi import Depends, Query, Request

from podbook_api.auth.keys import Caller
from podbook_api.doors.dependencies import ExecutionId, ServicesDep
from podbook_api.doors.door import entry_of
from podbook_api.doors.native.paths import linked_artifact
from podbook_api.doors.requests.credentials import presented
from podbook_api.services.access import Access

__all__ = ["AccessDep", "ReaderDep"]


async def access(
    *,
    request: Request,
    parts: ServicesDep,
    execution_id: ExecutionId,
    expires: Annotated[
        int | None, Query(ge=0, lt=2**40, description="Of a signed link: when it expires, in seconds since 1970.")
    ] = None,
    uid: Annotated[
        str | None, Query(max_length=100, description="Of a signed link: UID of the execution it was signed for.")
    ] = None,
    signature: Annotated[str | None, Query(max_length=100, description="Of a signed link: its signature.")] = None,
) -> Access:
    """Access to an artifact: by a signed link, which opens this one artifact, or by a key.

    Raises:
        InvalidLinkError, LinkExpiredError: the link is not good.
        ExecutionNotFoundError: what the link was made for is gone.
        NotAuthenticatedError: as for every caller.
    """
    if signature is None:
        return parts.access(presented(request, entry_of(request.scope).door.credentials))
    artifact = linked_artifact(str(request.scope["path"]), execution_id)
    return await parts.links.access(execution_id, uid or "", artifact, expires=expires or 0, signature=signature)


AccessDep = Annotated[Access, Depends(access)]


async def reader(granted: AccessDep) -> Caller:
    """Who reads an artifact: the bearer of a signed link, who sees this one artifact, or a caller with a key."""
    return granted.caller


ReaderDep = Annotated[Caller, Depends(reader)]
