"""MIME bundles as nbformat allows them: text for most media types, any JSON for the JSON ones. Pure.

A notebook's libraries, and the notebook itself, can send anything. One entry that is not valid would make the whole document invalid,
so it is left out by itself.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["valid_bundle"]


def valid_bundle(data: Any) -> tuple[dict[str, Any], list[str]]:
    """The valid entries of a bundle by media type, and the media types of those that are left out."""
    if not isinstance(data, Mapping):
        return {}, ["(the whole bundle)"]
    kept, dropped = {}, []
    for media_type, value in data.items():
        if _is_json(media_type) or isinstance(value, str) or (isinstance(value, list) and all(isinstance(x, str) for x in value)):
            kept[media_type] = value
        else:
            dropped.append(str(media_type)[:100])
    return kept, dropped


def _is_json(media_type: str) -> bool:
    """As the notebook format's schema has it: ``application/json``, and what ends with ``+json``."""
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))
