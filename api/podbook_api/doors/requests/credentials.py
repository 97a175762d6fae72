"""Where a request carries its key. Each door accepts some of these; whichever it is, the same key is the same caller with the same scopes."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection

__all__ = ["BASIC", "BEARER", "X_API_KEY", "Credential", "authorization", "header", "presented", "query"]

_REALM = "podbook"
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Credential:
    """One way to present a key."""

    name: str
    """Of its security scheme in the OpenAPI document."""
    hint: str
    """How it is sent, in words, such as ``Authorization: Bearer <key>``."""
    read: Callable[[HTTPConnection], str | None]
    """The key a request carries in this way, None when it carries none."""
    scheme: Mapping[str, str]
    """Its security scheme object in the OpenAPI document."""
    challenge: str | None = None
    """What a WWW-Authenticate header says of it (RFC 9110, section 11.6.1); None where it is not a scheme of HTTP authentication."""


def authorization(scheme: str, *, name: str | None = None, user: bool = False) -> Credential:
    """A key in the Authorization header.

    Args:
        scheme: what stands before the key, in any case, such as ``Bearer`` or ``token``.
        name: of the security scheme in the OpenAPI document; the scheme in lower case when None.
        user: whether the key comes after a user name and a colon. The name is not looked at: the key alone says who calls.
    """

    def read(request: HTTPConnection) -> str | None:
        found, _, value = request.headers.get("authorization", "").partition(" ")
        if found.lower() != scheme.lower():
            return None
        key = value.strip()
        if user:
            key = key.partition(":")[2]
        return key or None

    described = (
        {"type": "http", "scheme": "bearer"}
        if scheme.lower() == "bearer"
        else {"type": "apiKey", "in": "header", "name": "Authorization", "description": f"`{scheme} ` and the key."}
    )
    shown = "<user>:<key>" if user else "<key>"
    return Credential(name or scheme.lower(), f"Authorization: {scheme} {shown}", read, described, f'{scheme} realm="{_REALM}"')


def header(name: str, *, scheme: str) -> Credential:
    """A key as the whole value of a header. ``scheme`` names it in the OpenAPI document."""
    return Credential(scheme, name, lambda request: request.headers.get(name), {"type": "apiKey", "in": "header", "name": name})


def query(name: str, *, scheme: str) -> Credential:
    """A key in the query, where clients can send it nowhere else: proxies and browsers keep addresses, and the key with them."""
    return Credential(
        scheme, f"?{name}=<key>", lambda request: request.query_params.get(name), {"type": "apiKey", "in": "query", "name": name}
    )


def _basic_password(request: HTTPConnection) -> str | None:
    found, _, value = request.headers.get("authorization", "").partition(" ")
    if found.lower() != "basic" or _is_of_another_page(request):
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError:
        return value.strip() or None  # presented, and of no use: it must not count as no key at all
    return text.partition(":")[2] or text


def _is_of_another_page(request: HTTPConnection) -> bool:
    """Whether a browser sends this for a page of another origin, and something could change by it.

    Browsers keep a password and add it by themselves, whichever page a request comes from, so it says nothing of the page's right.
    """
    origin = request.headers.get("origin")
    if origin is None or request.scope.get("method") in _SAFE:
        return False
    return origin.partition("://")[2] != request.headers.get("host")


BEARER = authorization("Bearer")
BASIC = Credential(
    "basic",
    "Authorization: Basic, the key as password",
    _basic_password,
    {"type": "http", "scheme": "basic"},
    f'Basic realm="{_REALM}", charset="UTF-8"',
)
"""For clients that take an address and no key: ``http://any:<key>@host`` sends it, and browsers ask for it. The user name is not looked at.

It does not count in what a page of another origin has a browser send, but to read.
"""
X_API_KEY = header("X-API-Key", scheme="apiKey")


def presented(request: HTTPConnection, credentials: Sequence[Credential]) -> str | None:
    """The key a request carries, in the first of these ways that it uses; None when it carries none."""
    return next((key for item in credentials if (key := item.read(request)) is not None), None)
