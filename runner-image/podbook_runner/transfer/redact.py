"""Podbook's own credentials, kept out of everything the runner writes.

The notebook runs as the runner's user and can read the task document, with its signed URLs. What it prints ends up in the notebook,
the HTML and the log, which more people can read than the Secret. So the exact texts of those credentials are replaced. A notebook
that wants to smuggle them out encodes them; this does not prevent that, it keeps accidents out of results.
"""

import html
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator

from podbook_core.execution.task import Task

__all__ = ["REPLACEMENT", "Redactor", "secrets_of", "without_query"]

REPLACEMENT = "[redacted]"
_SECRET_FIELDS = frozenset({"policy", "signature", "awsaccesskeyid", "x-amz-signature", "x-amz-credential", "x-amz-security-token"})
_LONG = 20
"""A query value this long is taken for a credential whatever its name."""
_SHORTEST = 6
"""Shorter texts would be found everywhere."""


def without_query(url: str) -> str:
    """The URL as it may appear in a log: no user, no password, no query, no fragment."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def secrets_of(task: Task) -> frozenset[str]:
    """Every credential in a task document, each in the spellings it may be printed in."""
    sources = [task.notebook, task.contract, task.assets]
    urls = [source.url for source in sources if source is not None]
    urls += [item.url for item in task.inputs]
    urls.append(task.destination.url)
    found: set[str] = set()
    for url in urls:
        found.update(_secrets_of_url(url))
    for name, value in task.destination.fields.items():
        if name.lower() in _SECRET_FIELDS:
            found.update(_spellings(name, value))
    return frozenset(text for text in found if len(text) >= _SHORTEST)


class Redactor:
    """Replaces secrets in text, in JSON and in HTML alike. Safe for several threads.

    Args:
        secrets: tells all of them, asked again for each text: access is renewed while the notebook runs, and it may have read the new
            one first. While they are the same, it gives the same object.
    """

    def __init__(self, secrets: Callable[[], frozenset[str]]) -> None:
        self._secrets = secrets
        self._known: tuple[frozenset[str], re.Pattern[str] | None] = (frozenset(), None)

    def text(self, text: str) -> str:
        """The text without the secrets."""
        secrets = self._secrets()
        known, pattern = self._known
        if secrets is not known:
            pattern = _pattern(secrets)
            self._known = (secrets, pattern)
        return text if pattern is None else pattern.sub(REPLACEMENT, text)


def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    variants: set[str] = set()
    for secret in secrets:
        variants.update((secret, json.dumps(secret)[1:-1], html.escape(secret)))
    # Longest first: a whole query string goes before the signature inside it.
    ordered = sorted(variants, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _secrets_of_url(url: str) -> Iterator[str]:
    parts = urllib.parse.urlsplit(url)
    if parts.password:
        yield parts.password
    if parts.query:
        yield parts.query
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if name.lower() in _SECRET_FIELDS or len(value) >= _LONG:
            yield from _spellings(name, value)


def _spellings(name: str, value: str) -> Iterator[str]:
    decoded = urllib.parse.unquote_plus(value)
    yield value
    yield decoded
    yield urllib.parse.quote(decoded, safe="")
    if name.lower() == "x-amz-credential":
        # <access key>/<date>/<region>/s3/aws4_request: the key id alone is worth hiding, too.
        yield decoded.partition("/")[0]
