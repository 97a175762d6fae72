"""Routes: which endpoint a request's path leads to, and with which values of its parameters."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from podbook_core.http_notebook.annotations import Endpoint

__all__ = ["Match", "Routes"]

_PARAMETER = re.compile(r":([^/\s]+)")


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
        """The endpoint of a path as it was sent: ``a%2Fb`` is one segment, and no slash more or less is tolerated. None where there is none."""
        for (pattern, names), endpoint in self._patterns:
            found = pattern.fullmatch(raw_path)
            if found is not None:
                return Match(
                    endpoint, {name: unquote(value, errors="replace") for name, value in zip(names, found.groups(), strict=True)}
                )
        return None


def _pattern(path: str) -> tuple[re.Pattern[str], list[str]]:
    """A regular expression for a path; only ``:name`` means something in it, everything else is text."""
    names, pieces, at = [], [], 0
    for found in _PARAMETER.finditer(path):
        names.append(found[1])
        pieces += [re.escape(path[at : found.start()]), "([^/]+)"]
        at = found.end()
    return re.compile("".join([*pieces, re.escape(path[at:])])), names
