"""Names: what may be called how, and the names Podbook derives from others. All pure."""

import base64
import hashlib
import re
import secrets
from datetime import datetime

from podbook_core.text.digests import canonical_json, sha256_hex

__all__ = [
    "EXECUTION_NAME",
    "LABEL_KEY",
    "LABEL_KEY_LENGTH",
    "LABEL_VALUE",
    "LABEL_VALUE_LENGTH",
    "NOTEBOOK_NAME",
    "execution_name",
    "execution_name_for_key",
    "idempotency_digest",
    "is_execution_name",
    "is_label_key",
    "is_label_value",
    "is_notebook_name",
    "job_name",
    "label_value",
    "notebook_name_from_path",
    "secret_name",
]

NOTEBOOK_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
"""Regular expression (to be matched whole) of a notebook's name."""
EXECUTION_NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""Regular expression (to be matched whole) of an execution's name: an RFC 1123 label, so that it also fits a label value."""
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY = rf"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?{_LABEL_NAME}"
"""Regular expression (to be matched whole) of a Kubernetes label's key; the prefix may have at most 253 characters besides."""
LABEL_VALUE = rf"({_LABEL_NAME})?"
"""Regular expression (to be matched whole) of a Kubernetes label's value."""
_LABEL_PREFIX_LENGTH = 253
LABEL_KEY_LENGTH = _LABEL_PREFIX_LENGTH + 1 + 63
LABEL_VALUE_LENGTH = 63

_NOTEBOOK_NAME = re.compile(NOTEBOOK_NAME)
_SUFFIX_LENGTH = 16
_PREFIX_LENGTH = 63 - 1 - _SUFFIX_LENGTH


def is_notebook_name(text: str) -> bool:
    """Whether a text may be the name of a notebook."""
    return _NOTEBOOK_NAME.fullmatch(text) is not None


def is_execution_name(text: str) -> bool:
    """Whether a text may be the name of an execution."""
    return re.fullmatch(EXECUTION_NAME, text) is not None


def notebook_name_from_path(relative: str) -> str:
    """``sub/nested.ipynb`` → ``sub.nested``: the name a file below the notebooks folder is published under.

    The result may still not be a valid name; the caller checks with :func:`is_notebook_name`.
    """
    return relative.removesuffix(".ipynb").replace("/", ".")


def _slug(notebook: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", notebook.lower()).strip("-")[:_PREFIX_LENGTH].strip("-")
    return slug or "notebook"


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().lower()[:_SUFFIX_LENGTH]


def execution_name(notebook: str) -> str:
    """``<notebook>-<16 random base32 characters>``: 80 bits, so that names never meet by chance."""
    return f"{_slug(notebook)}-{_base32(secrets.token_bytes(10))}"


def idempotency_digest(caller: str, notebook: str, key: str) -> str:
    """What a caller's Idempotency-Key stands for: the same key of another caller or notebook is another one."""
    return sha256_hex(canonical_json([caller, notebook, key]))


def execution_name_for_key(notebook: str, digest: str, *, renewed: datetime | None = None) -> str:
    """The one execution name that an idempotency digest leads to, on every replica and after every crash.

    Args:
        notebook: the notebook's name.
        digest: what the key stands for.
        renewed: when the key was used again after it had expired. It leads to another name then: the old one may still be taken.
    """
    if renewed is not None:
        digest = sha256_hex(canonical_json([digest, renewed.isoformat()]))
    return f"{_slug(notebook)}-{_base32(bytes.fromhex(digest)[:10])}"


def job_name(uid: str) -> str:
    """The one Job an execution may ever have. Deterministic: creating it twice is a conflict, which is the lock."""
    return f"nbx-{hashlib.sha256(uid.encode()).hexdigest()[:20]}"


def secret_name(uid: str) -> str:
    """The Secret with one execution's task and signed access."""
    return f"{job_name(uid)}-task"


def is_label_key(text: str) -> bool:
    """Whether a text may be the key of a Kubernetes label."""
    fits = len(text) <= LABEL_KEY_LENGTH and len(text.rpartition("/")[0]) <= _LABEL_PREFIX_LENGTH
    return fits and re.fullmatch(LABEL_KEY, text) is not None


def is_label_value(text: str) -> bool:
    """Whether a text may be the value of a Kubernetes label."""
    return len(text) <= LABEL_VALUE_LENGTH and re.fullmatch(LABEL_VALUE, text) is not None


def label_value(text: str) -> str:
    """A text as a Kubernetes label value: itself where it is one, else a readable start and a hash."""
    if text and is_label_value(text):
        return text
    start = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{start}-{digest}" if start else digest
