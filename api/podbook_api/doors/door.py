"""A door: one way to speak to the services.

It is a router, the shape of its errors, the credentials it accepts, and its part of the OpenAPI document. It has no store, no queue
and no way to run of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from podbook_api.doors.openapi import NotebookSchema, OpenApiDocuments, Part
from podbook_api.doors.problems import ProblemError
from podbook_api.doors.requests.credentials import Credential
from podbook_api.services.bundle import Services
from podbook_api.services.errors import ServiceError

__all__ = ["Door", "Entry", "Failure", "door_at", "entry_of", "taken_at_root", "within"]

Failure = ServiceError | ProblemError
"""What a door is asked to answer: an error of the services, or a problem of HTTP itself, such as a body that cannot be read."""

_SCOPE = "podbook.entry"


@dataclass(frozen=True, slots=True)
class Door:
    """One system's way in. Registered as data, so that doors are switched by name."""

    name: str
    paths: tuple[str, ...]
    """Paths at and below which everything is this door's, without a slash at the end; the longest one that fits counts. ``""`` is all."""
    problem: Callable[[Request, Failure], Response]
    """Answers what went wrong, in the door's own shape."""
    credentials: Sequence[Credential]
    """Ways to present a key, the first that a request uses counts."""
    routers: Sequence[APIRouter] = ()
    mounts: Mapping[str, ASGIApp] = field(default_factory=dict)
    """Applications by the path they are mounted at, for what a router cannot do. They reach the services as routes do; a Starlette or
    FastAPI application among them is made with ``exception_handlers=HANDLERS`` of :mod:`podbook_api.doors.failures`."""
    head: bool = True
    """Whether HEAD is GET without the content, as HTTP has it; False where a GET may change something, so that there is no HEAD."""
    openapi: Callable[[dict[str, Any], Sequence[NotebookSchema]], None] | None = None
    """Completes the OpenAPI document, which holds the routers' operations already, for the notebooks a caller may see."""

    def __post_init__(self) -> None:
        """Refuse a path that could never match.

        Raises:
            ValueError: it does not begin with a slash, or ends with one.
        """
        for path in self.paths:
            if path and (not path.startswith("/") or path.endswith("/")):
                raise ValueError(f"the path {path!r} of the door {self.name} must start with a slash and must not end with one")

    def covers(self, path: str) -> int:
        """How long the longest of the door's paths at or above this one is; -1 where none is."""
        return max((len(prefix) for prefix in self.paths if within(path, prefix)), default=-1)

    @property
    def part(self) -> Part:
        """What the door adds to the OpenAPI document."""
        return Part(
            covers=self.covers,
            schemes={item.name: item.scheme for item in self.credentials},
            complete=self.openapi,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """What a request finds inside: on its scope, and so also in applications that are mounted."""

    services: Services
    door: Door
    documents: OpenApiDocuments
    taken: frozenset[str] = frozenset()
    """First segments of the addresses of other doors, where a door is open at the root: they win there, so no notebook is found under them."""

    def put(self, scope: Scope) -> None:
        """Put it where :func:`entry_of` looks."""
        scope[_SCOPE] = self


def entry_of(scope: Scope) -> Entry:
    """The entry of a request."""
    found: Entry = scope[_SCOPE]
    return found


def within(path: str, prefix: str) -> bool:
    """Whether a path is a prefix or lies below it, by whole segments. Pure."""
    return not prefix or path == prefix or path.startswith(prefix + "/")


def taken_at_root(doors: Sequence[Door]) -> frozenset[str]:
    """First segments of addresses that a door at the root cannot have; empty where none is open there. Pure."""
    if all(path for door in doors for path in door.paths):
        return frozenset()
    return frozenset(path.split("/")[1] for door in doors for path in door.paths if path)


def door_at(doors: Sequence[Door], path: str, *, otherwise: Door) -> Door:
    """The door whose path is the longest at or above this one. Pure."""
    best = max(doors, key=lambda door: door.covers(path), default=otherwise)
    return best if best.covers(path) >= 0 else otherwise
