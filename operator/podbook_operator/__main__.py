"""``python -m podbook_operator``: run the operator of one namespace, configured by the environment."""

import asyncio
import gc
import sys

from pydantic import ValidationError
from pydantic_settings import SettingsError

from podbook_cluster.errors import ClusterUnavailableError
from podbook_core.environment import wrong_variables
from podbook_core.execution.profiles import ProfilesError
from podbook_core.store.base import StoreUnavailableError
from podbook_operator.logs import set_up_logging
from podbook_operator.settings import Settings
from podbook_operator.wiring import run


def main() -> int:
    """Run until stopped. Returns the exit status: 0 after SIGTERM or SIGINT, 2 when it is configured wrongly."""
    try:
        settings = Settings()
    except (ValidationError, SettingsError) as error:
        sys.stderr.writelines(f"podbook-operator: {line}\n" for line in wrong_variables(error))
        return 2
    set_up_logging(settings.log_level)
    # Watch events are much garbage without circles. Looked through as often as Python does by itself, it costs an eighth of the processor
    # time of an execution; so seldom, some 20 MiB.
    gc.set_threshold(100_000, 50, 100)
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
