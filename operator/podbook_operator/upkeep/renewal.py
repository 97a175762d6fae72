"""Signed access ends with the credentials that signed it. Where those are temporary, it is signed again in time, for every run that is on.

What was signed when is known to this process only, so the first thing a restarted operator does is to sign everything again. One
request reads an execution and one replaces its Secret, about once in the life of a set of credentials; between that nothing is requested.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from pydantic import ValidationError

from podbook_cluster.errors import ClusterError, ClusterUnavailableError, NotFoundError
from podbook_core.execution.stored import read_execution
from podbook_core.store.base import StoreError, StoreUnavailableError
from podbook_core.threads import Threads
from podbook_operator.act.access import Signed, Signer
from podbook_operator.act.launch import Launcher
from podbook_operator.cluster import Cluster
from podbook_operator.facts.cache import Entry, Facts

__all__ = ["Renewal", "is_due"]

_LOGGER = logging.getLogger(__name__)
_EVERY_SECONDS = 60.0
"""botocore fetches new credentials a quarter of an hour before the old ones end, and a kubelet takes a minute or two to bring a changed
Secret to its pods: there is time for several rounds."""


def is_due(signed: Signed | None, end: datetime, now: datetime) -> bool:
    """Whether access is to be signed again. Pure.

    Args:
        signed: what is known of the last time; None when nothing is.
        end: when the credentials end that would sign now.
        now: the present.

    Returns:
        Whether that would last longer, and half of what there was is over. The half matters to credentials that are so short-lived
        that there are always better ones.
    """
    if signed is None:
        return True
    return end > signed.until and now >= signed.at + (signed.until - signed.at) / 2


class Renewal:
    """Renews the access of every execution that has a Job and has not ended. What it does may be interrupted and repeated.

    Args:
        signer: says when its credentials end.
        launcher: signs, and knows when it did.
        cluster: the API server.
        facts: which executions are on.
        clock: the present, in UTC.
    """

    def __init__(
        self, *, signer: Signer, launcher: Launcher, cluster: Cluster, facts: Facts, clock: Callable[[], datetime]
    ) -> None:
        self._signer, self._launcher, self._cluster, self._facts, self._clock = signer, launcher, cluster, facts, clock
        self._threads = Threads(1, name="credentials")

    async def run(self) -> None:
        """Renew until cancelled. Begins when everything that exists is known."""
        while True:
            try:
                renewed = await self.renew()
                if renewed:
                    _LOGGER.info("renewed the signed access of %d runs", renewed)
            except (StoreError, ClusterError) as error:
                _LOGGER.warning("renewal of signed access is postponed for a minute: %s", error)
            except Exception:
                _LOGGER.exception("renewal of signed access failed, retrying in a minute")
            await asyncio.sleep(_EVERY_SECONDS)

    async def renew(self) -> int:
        """Renew what is due. Returns how many it was.

        Raises:
            StoreUnavailableError: there are no credentials, or the store cannot be read; the rest is done the next time.
            ClusterUnavailableError: the API server is away; the rest is done the next time.
        """
        # Asked for also when nothing is on, so that the next to sign finds credentials that last.
        end = await self._threads.run(self._signer.credentials_end)
        if end is None:
            return 0
        signed = self._launcher.signed
        alive = {entry.uid for entry in self._facts.entries.values() if not entry.terminal}
        for uid in signed.keys() - alive:
            del signed[uid]
        due = [entry for entry in self._facts.running if is_due(signed.get(entry.uid), end, self._clock())]
        return sum([await self._renew_one(entry, end) for entry in due])

    async def _renew_one(self, entry: Entry, end: datetime) -> bool:
        try:
            execution = read_execution(await self._cluster.get_execution(entry.name)).execution
            if execution.uid != entry.uid or execution.status.terminal:
                return False
            problem = await self._launcher.renew(execution)
        except (NotFoundError, ValidationError):
            return False  # it is gone, or the reconciler will end it as malformed
        except (StoreUnavailableError, ClusterUnavailableError):
            raise  # the next one would wait for the same
        except Exception:
            # One that cannot be renewed does not stop the others.
            _LOGGER.exception("its signed access could not be renewed; retrying in a minute", extra={"execution": entry.name})
            return False
        if problem is None:
            return True
        # Nothing will change that; it is said once for each set of credentials.
        self._launcher.signed[entry.uid] = Signed(self._clock(), end)
        _LOGGER.warning("its signed access cannot be renewed: %s", problem, extra={"execution": entry.name})
        return False
