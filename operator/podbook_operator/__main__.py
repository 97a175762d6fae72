"""``python -m podbook_operator``: run the operator of one namespace, configured by the environment."""

import asyncio
import sys

from pydantic import ValidationError

from podbook_core.nesting import expect_deep_documents
from podbook_core.profiles import ProfilesError
from podbook_core.store.base import StoreUnavailableError
from podbook_operator.cluster import ClusterUnavailableError
from podbook_operator.logs import set_up_logging
from podbook_operator.main import run
from podbook_operator.settings import Settings


def main() -> int:
    """Run until stopped. Returns the exit status: 0 after SIGTERM or SIGINT, 2 when it is configured wrongly."""
    try:
        settings = Settings()
    except ValidationError as error:
        for item in error.errors(include_input=False):
            name = "PODBOOK_" + "__".join(str(part) for part in item["loc"]).upper()
            sys.stderr.write(f"podbook-operator: {name}: {item['msg']}\n")
        return 2
    set_up_logging(settings.log_level)
    expect_deep_documents()
    try:
        asyncio.run(run(settings))
    except (ProfilesError, ClusterUnavailableError, StoreUnavailableError, OSError) as error:
        sys.stderr.write(f"podbook-operator: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
