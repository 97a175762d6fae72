"""Names: what may be called how, and the names Podbook derives from others. All pure."""

import base64
import hashlib
import re
import secrets

from podbook_core.digests import canonical_json, sha256_hex

__all__ = [
    "EXECUTION_NAME",
    "NOTEBOOK_NAME",
    "execution_name",
    "execution_name_for_key",
    "idempotency_digest",
    "is_execution_name",
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

_NOTEBOOK_NAME = re.compile(NOTEBOOK_NAME)
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
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

    The result may still be no valid name; the caller checks with :func:`is_notebook_name`.
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


def execution_name_for_key(notebook: str, digest: str) -> str:
    """The one execution name that an idempotency digest leads to, on every replica and after every crash."""
    return f"{_slug(notebook)}-{_base32(bytes.fromhex(digest)[:10])}"


def job_name(uid: str) -> str:
    """The one Job an execution may ever have. Deterministic: creating it twice is a conflict, which is the lock."""
    return f"nbx-{hashlib.sha256(uid.encode()).hexdigest()[:20]}"


def secret_name(uid: str) -> str:
    """The Secret with one execution's task and signed access."""
    return f"{job_name(uid)}-task"


def label_value(text: str) -> str:
    """A text as a Kubernetes label value: itself where it is one, else a readable start and a hash."""
    if _LABEL_VALUE.fullmatch(text):
        return text
    start = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40].strip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{start}-{digest}" if start else digest
