"""The operator, except for its patience, and for SIGUSR1, which ends its watch of the kind named in the first argument.

Its watches are given no time to begin, and a request that fails is tried once more and not for minutes. How a watch ends that nobody ended
is a matter of kopf and of the network; the signal ends its task.
"""

import asyncio
import signal
import sys
from functools import partial

import kopf

from podbook_operator import wiring as main
from podbook_operator.logs import set_up_logging
from podbook_operator.settings import Settings
from podbook_operator.watch.health import Health
from podbook_operator.watch.kopf_settings import kopf_settings


def _impatient() -> kopf.OperatorSettings:
    settings = kopf_settings()
    settings.networking.error_backoffs = (0.1,)
    return settings


async def _run(kind: str) -> None:
    def end_watch() -> None:
        for task in asyncio.all_tasks():
            if task.get_name().startswith(f"watcher for {kind}@"):
                task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, end_watch)
    await main.run(Settings())


if __name__ == "__main__":
    # In this process only.
    vars(main).update(Health=partial(Health, grace=0), kopf_settings=_impatient)
    set_up_logging("INFO")
    asyncio.run(_run(sys.argv[1]))
