"""Compares what is known with what is there, every few minutes: what a watch did not tell is corrected here.

The one thing known to be lost is the end of objects: where a watch was away for too long, a new list says what is there and not
what has gone meanwhile.
"""

import asyncio
import logging
import random
from collections.abc import Callable

from podbook_cluster.errors import ClusterError
from podbook_core.execution.labels import OURS
from podbook_operator.cluster import Cluster
from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue

__all__ = ["Resync"]

_LOGGER = logging.getLogger(__name__)


class Resync:
    """Corrects the facts, and has every execution looked at.

    Args:
        cluster: the API server, which is asked for lists.
        facts: corrected.
        queue: every execution is put there.
        gone: called with the unique id of each execution that turns out to be gone.
        seconds: time between two comparisons, give or take a tenth.
    """

    def __init__(self, *, cluster: Cluster, facts: Facts, queue: WorkQueue, gone: Callable[[str], None], seconds: float) -> None:
        self._cluster, self._facts, self._queue, self._gone, self._seconds = cluster, facts, queue, gone, seconds

    async def run(self) -> None:
        """Compare until cancelled. Begins when everything that exists is known."""
        while True:
            await asyncio.sleep(self._seconds * random.uniform(0.9, 1.1))  # noqa: S311 - no secret
            try:
                await self.compare()
            except ClusterError as error:
                _LOGGER.warning("the resync is postponed: %s", error)

    async def compare(self) -> None:
        """Compare once.

        Only what was known before a list was asked for, and is not in it, is gone: what came after may be missing for being too new.

        Raises:
            ClusterError: a list is not available; nothing was changed.
        """
        facts = self._facts
        objects, known = facts.object_uids(), {entry.uid for entry in facts.entries.values()}
        objects -= await self._cluster.job_uids(OURS)
        objects -= await self._cluster.pod_uids(OURS)
        listed = await self._cluster.list_executions()
        if objects:
            _LOGGER.info("%d Jobs and pods no longer exist, and no watch reported it", len(objects))
            facts.drop_objects(objects)
        present = set()
        for body in listed:
            name, uid = body["metadata"]["name"], body["metadata"]["uid"]
            present.add(uid)
            entry = facts.entries.get(name)
            # One that was known and is not any more went while the list was made; it must not come back.
            if uid not in known or (entry is not None and entry.uid == uid):
                facts.put_execution(body)
        for name, entry in list(facts.entries.items()):
            if entry.uid in known and entry.uid not in present:
                facts.drop_execution(name, entry.uid)
                self._gone(entry.uid)
            self._queue.add(name)
