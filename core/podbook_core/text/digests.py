"""Canonical JSON and SHA-256: how Podbook names content."""

import hashlib
import json
from typing import Any

__all__ = ["canonical_json", "digest_json", "sha256_hex"]


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no white space (after RFC 8785, but with Python's number formatting).

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON cannot represent.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_hex(data: bytes) -> str:
    """64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return sha256_hex(canonical_json(value))
