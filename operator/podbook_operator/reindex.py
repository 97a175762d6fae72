"""``python -m podbook_operator.reindex``: the lists made anew from the records in the bucket, after a restore. Safe at any time."""

import sys

from pydantic import ValidationError

from podbook_core.reindex import rebuild_index
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.s3 import S3Store
from podbook_operator.settings import Settings

__all__ = ["main"]


def main() -> int:
    """Rebuild the index with the operator's own settings. Returns the exit status: 0, or 1 when the bucket cannot be used."""
    try:
        indexed, removed = rebuild_index(S3Store(Settings().s3.for_store()))
    except (ValidationError, StoreUnavailableError) as error:
        sys.stderr.write(f"podbook-operator: {error}\n")
        return 1
    sys.stdout.write(f"{indexed} records indexed, {removed} entries without a record removed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
