"""Kubernetes Events about executions: what ``kubectl describe`` shows. At most a few for each execution, and never at the price of work."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from podbook_cluster.errors import ClusterError
from podbook_core import API_GROUP, API_VERSION, KIND
from podbook_core.execution.labels import MANAGED_BY
from podbook_core.execution.model import NotebookExecution, Status
from podbook_core.execution.reasons import Phase
from podbook_core.text.times import rfc3339

__all__ = ["EventRecorder", "EventSink", "build_event"]

_LOGGER = logging.getLogger(__name__)
_WAITING = 1000
_RATE = 20.0
"""Most Events a second in the long run (client-go's spam filter has the same purpose)."""
_BURST = 100.0


class EventSink(Protocol):
    """Where Events go; a :class:`podbook_operator.cluster.Cluster` is one."""

    async def create_event(self, body: Mapping[str, Any]) -> None:
        """Record an Event. Raises :class:`ClusterError`."""
        ...


def build_event(execution: NotebookExecution, status: Status, *, now: datetime, suffix: str) -> dict[str, Any]:
    """The Event that tells of a new state. Pure."""
    failed = status.phase is Phase.FAILED
    moment = rfc3339(now, milliseconds=False)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{execution.name}.{suffix}"},
        "involvedObject": {
            "apiVersion": f"{API_GROUP}/{API_VERSION}",
            "kind": KIND,
            "name": execution.name,
            "namespace": execution.metadata.namespace,
            "uid": execution.uid,
            "resourceVersion": execution.metadata.resource_version,
        },
        "type": "Warning" if failed else "Normal",
        "reason": str(status.reason),
        "message": status.message or f"{execution.spec.notebook.name}: {status.reason}",
        "source": {"component": MANAGED_BY},
        "reportingComponent": MANAGED_BY,
        "reportingInstance": MANAGED_BY,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


class EventRecorder:
    """Sends Events in the background; drops them when there are too many or the API server is busy.

    Args:
        cluster: where they go.
        clock: monotonic seconds; tests pass their own.
    """

    def __init__(self, cluster: EventSink, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)
        self._tokens, self._since = _BURST, clock()
        self._newest = 0
        self.dropped = 0

    def tell(self, execution: NotebookExecution, status: Status, now: datetime) -> None:
        """Tell of a new state, which began at ``now``. Never waits and never fails."""
        elapsed = self._clock() - self._since
        self._since += elapsed
        self._tokens = min(_BURST, self._tokens + elapsed * _RATE)
        if self._tokens < 1 or self._queue.full():
            self.dropped += 1
            return
        self._tokens -= 1
        self._newest = max(self._newest + 1, int(now.timestamp() * 1e6))  # rises: two Events of one moment have two names
        self._queue.put_nowait(build_event(execution, status, now=now, suffix=f"{self._newest:x}"))

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            body = await self._queue.get()
            try:
                await self._cluster.create_event(body)
            except ClusterError as error:
                self.dropped += 1
                _LOGGER.debug("an event was dropped: %s", error)
