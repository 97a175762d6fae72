"""Addresses with a slash too many. Podbook's own door names them as a mistake; the frameworks of older systems send the client on."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.routing import Route

__all__ = ["redirect_slashes"]


async def _without(request: Request) -> RedirectResponse:
    # Relative, so that it holds behind a proxy, too. The route says how it begins: never with two slashes, which would name a host.
    path, query = request.url.path.rstrip("/"), request.url.query
    return RedirectResponse(f"{path}?{query}" if query else path, 307)


def redirect_slashes(router: APIRouter) -> None:
    """Redirect each address of a router that is asked for with slashes at its end to the address without them, keeping method and body.

    Call it when the router has all its routes.
    """
    known = [route for route in router.routes if isinstance(route, APIRoute)]
    # In front: a path parameter that takes slashes would have taken these as well.
    router.routes[:0] = [
        Route(f"{route.path}/", _without, methods=sorted(route.methods or ()), include_in_schema=False) for route in reversed(known)
    ]
