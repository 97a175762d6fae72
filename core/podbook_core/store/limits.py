"""Maximum size of each stored document that is read whole, in bytes.

Every reader names one of these. What lies below ``executions/<uid>/attempts/`` may have been written by a notebook, in any size its
signed access allows; the other documents are Podbook's own, and a bound keeps a damaged one from taking its reader along.
"""

__all__ = [
    "MAX_CONTRACT_DOCUMENT_BYTES",
    "MAX_FOLDERS",
    "MAX_IDEMPOTENCY_BYTES",
    "MAX_LOG_BYTES",
    "MAX_MANIFEST_BYTES",
    "MAX_NAME_BYTES",
    "MAX_NOTEBOOK_DOCUMENT_BYTES",
    "MAX_POINTER_BYTES",
    "MAX_PROGRESS_BYTES",
    "MAX_RECORD_BYTES",
    "MAX_RESULT_IN_MEMORY_BYTES",
    "MAX_VERSION_MANIFEST_BYTES",
]

_KIB, _MIB = 1024, 1024 * 1024

MAX_PROGRESS_BYTES = 4 * _KIB
"""``progress.json``: two numbers, and room for what a later version says."""
MAX_MANIFEST_BYTES = _MIB
"""``result.json``, an attempt's manifest."""
MAX_LOG_BYTES = _MIB
"""``log.txt``: the newest mebibyte is kept and shown."""
MAX_RESULT_IN_MEMORY_BYTES = _MIB
"""A result up to this size is read whole before it is sent; a larger one is streamed."""
MAX_FOLDERS = 1_000_000
"""Notebooks, and versions of one notebook, that are listed by name."""

MAX_RECORD_BYTES = 16 * _MIB
"""``record.json``: parameters (256 KiB, six times that when escaped), and up to 2,000 objects with their keys."""
MAX_NAME_BYTES = _KIB
"""``names/<name>.json``: a uid."""
MAX_POINTER_BYTES = 4 * _KIB
"""``current.json``: a version."""
MAX_VERSION_MANIFEST_BYTES = 16 * _MIB
"""``manifest.json`` of a version: the assets by path and digest."""
MAX_CONTRACT_DOCUMENT_BYTES = 16 * _MIB
"""``contract.json`` of a version: a contract file (256 KiB) that has grown by its models and by indentation."""
MAX_NOTEBOOK_DOCUMENT_BYTES = 256 * _MIB
"""``notebook.ipynb`` of a version: what could be published (``max_upload_bytes``, 100 MiB unless set)."""
MAX_IDEMPOTENCY_BYTES = 64 * _KIB
"""``idempotency/<digest>``."""
