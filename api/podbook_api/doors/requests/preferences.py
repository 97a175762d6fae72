"""What a request prefers: ``Prefer`` (RFC 7240), ``Accept`` and entity-tag headers (RFC 9110). Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MAX_WAIT_SECONDS", "accepted_types", "etag_matches", "failed_precondition", "preferred_wait"]

MAX_WAIT_SECONDS = 300
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*', re.IGNORECASE)


def preferred_wait(headers: Iterable[str]) -> int | None:
    """Seconds a caller is ready to wait, at most 300; ``respond-async`` is 0; None when nothing (understood) is said.

    A server ignores preferences it does not understand (RFC 7240, section 2).
    """
    for header in headers:
        for preference in header.split(","):
            head = preference.partition(";")[0]
            if match := _WAIT.fullmatch(head):
                return min(int(match[1]), MAX_WAIT_SECONDS)
            if head.strip().lower() == "respond-async":
                return 0
    return None


def accepted_types(header: str) -> list[str]:
    """Media ranges of an Accept header, best first; what has a quality of 0 is left out."""
    ranges: list[tuple[float, int, str]] = []
    for number, item in enumerate(header.split(",")):
        media_range, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if "/" in media_range and quality > 0:
            ranges.append((-quality, number, media_range))
    return [media_range for _, _, media_range in sorted(ranges)]


def chosen_file(accept: str, media_types: Sequence[str]) -> int | None:
    """Which output file a caller asks for instead of the JSON output: the only one of a media type that Accept names.

    ``*/*`` and JSON types ask for the JSON output.

    Returns:
        The position in ``media_types``, or None for the JSON output.
    """
    for media_range in accepted_types(accept):
        if media_range in ("*/*", "application/*", "application/json"):
            return None
        start = media_range.removesuffix("*") if media_range.endswith("/*") else None
        found = [
            number
            for number, media_type in enumerate(media_types)
            if (media_type.partition(";")[0].strip().lower() == media_range or (start and media_type.lower().startswith(start)))
        ]
        if len(found) == 1:
            return found[0]
    return None


def etag_matches(header: str, etag: str, *, strong: bool = False) -> bool:
    """Whether a list of entity tags names one (given with its quotes), or is ``*``.

    Weak ones in the list count as the strong ones of the same text (as If-None-Match wants it), or, with ``strong``, as none (If-Match).
    """
    if header.strip() == "*":
        return True
    tags = [item.strip() for item in header.split(",")]
    return etag in (tags if strong else [tag.removeprefix("W/") for tag in tags])


def failed_precondition(headers: Mapping[str, str], etag: str) -> int | None:
    """What a request to read something is answered in place of it: 412 by If-Match, 304 by If-None-Match; None to read it (RFC 9110, 13.2.2).

    Args:
        headers: of the request, with names in any case.
        etag: the entity tag of what there is, with its quotes.
    """
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    if if_match is not None and not etag_matches(if_match, etag, strong=True):
        return 412
    return 304 if if_none_match is not None and etag_matches(if_none_match, etag) else None
