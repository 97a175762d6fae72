"""Routes: which endpoint a request's path leads to, and with which values of its parameters."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from podbook_core.http_notebook.annotations import Endpoint

__all__ = ["Match", "PathNotTextError", "Routes"]

_PARAMETER = re.compile(r":([^/\s]+)")


class PathNotTextError(ValueError):
    """A value in a request's path is not UTF-8 when it is decoded."""


@dataclass(frozen=True, slots=True)
class Match:
    """An endpoint, and the values in the path by the names of its parameters."""

    endpoint: Endpoint
    path: Mapping[str, str]


class Routes:
    """The endpoints of a notebook, in their order."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._patterns = [(_pattern(endpoint.path), endpoint) for endpoint in endpoints]

    def match(self, raw_path: str) -> Match | None:
        """The endpoint of a path as it was sent: ``a%2Fb`` is one segment, and no slash more or less is tolerated. None where there is none.

        Raises:
            PathNotTextError: a value in the path is not UTF-8.
        """
        for (pattern, names), endpoint in self._patterns:
            found = pattern.fullmatch(raw_path)
            if found is not None:
                return Match(endpoint, {name: _decoded(name, value) for name, value in zip(names, found.groups(), strict=True)})
        return None


def _decoded(name: str, value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise PathNotTextError(f"the value of {name} in the path is not UTF-8") from None


def _pattern(path: str) -> tuple[re.Pattern[str], list[str]]:
    """A regular expression for a path; only ``:name`` means something in it, everything else is text."""
    names, pieces, at = [], [], 0
    for found in _PARAMETER.finditer(path):
        names.append(found[1])
        pieces += [_literal(path[at : found.start()]), "([^/]+)"]
        at = found.end()
    return re.compile("".join([*pieces, _literal(path[at:])])), names


def _literal(text: str) -> str:
    """Text as it is, or as clients encode it: a notebook writes ``/my data``, and they ask for ``/my%20data``."""
    return f"(?:{re.escape(text)}|{re.escape(quote(text))})" if quote(text) != text else re.escape(text)
