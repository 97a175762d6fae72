"""Who reads an artifact: a caller with a key, or whoever has a signed link, for browsers cannot send keys."""

from typing import Annotated

from fastapi import Depends, Query, Request

from podbook_api.auth.keys import Caller
from podbook_api.doors.dependencies import ExecutionId, ServicesDep, caller
from podbook_api.doors.native.paths import linked_artifact

__all__ = ["ReaderDep"]


async def reader(
    request: Request,
    parts: ServicesDep,
    execution_id: ExecutionId,
    expires: Annotated[
        int | None, Query(ge=0, lt=2**40, description="Of a signed link: until when it works, seconds since 1970.")
    ] = None,
    signature: Annotated[str | None, Query(max_length=100, description="Of a signed link.")] = None,
) -> Caller:
    """Who reads: the bearer of a signed link, who sees this one artifact, or a caller with a key.

    Raises:
        InvalidLinkError, LinkExpiredError: the link is not good.
        NotAuthenticatedError: as for every caller.
    """
    if signature is None:
        return await caller(request)
    artifact = linked_artifact(str(request.scope["path"]), execution_id)
    return parts.links.bearer(execution_id, artifact, expires=expires or 0, signature=signature)


ReaderDep = Annotated[Caller, Depends(reader)]
