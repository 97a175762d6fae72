"""``python -m podbook_operator.reindex``: the bucket set right from its records, after a restore. Safe at any time."""

import sys

from pydantic import ValidationError
from pydantic_settings import SettingsError

from podbook_core.environment import wrong_variables
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.s3 import S3Store
from podbook_core.upkeep.reindex import rebuild_index
from podbook_operator.settings import Settings

__all__ = ["main"]


def main() -> int:
    """Rebuild the index with the operator's own settings. Returns the exit status: 0, or 1 when settings or bucket cannot be used.

    What is damaged is said on standard error and changes nothing about the status: a notebook may have done it to its own results.
    """
    try:
        rebuilt = rebuild_index(S3Store(Settings().s3.for_store()), _report)
    except (ValidationError, SettingsError) as error:
        sys.stderr.writelines(f"podbook-operator: {line}\n" for line in wrong_variables(error))
        return 1
    except StoreUnavailableError as error:
        sys.stderr.write(f"podbook-operator: {error}\n")
        return 1
    sys.stdout.write(f"{rebuilt}\n")
    return 0


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
