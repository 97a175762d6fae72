"""Reports a new status: to the API server first, then in Events, metrics and logs."""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from podbook_core.execution.model import NotebookExecution, Status
from podbook_core.execution.reasons import Phase, Reason
from podbook_operator.act.kube_events import EventRecorder
from podbook_operator.cluster import Cluster
from podbook_operator.facts.cache import Facts
from podbook_operator.metrics import Metrics

__all__ = ["StatusWriter", "merge_patch"]

_LOGGER = logging.getLogger(__name__)
_TOLD = (Reason.QUEUED, Reason.RUNNING)
"""Reasons, besides the terminal ones, that are worth an Event."""


class StatusWriter:
    """Writes the status of one execution at a time.

    Args:
        facts: learn what was written.
        cluster: where it is written.
        events: tells people.
        metrics: tells Prometheus.
        clock: the present.
    """

    def __init__(
        self, facts: Facts, cluster: Cluster, events: EventRecorder, metrics: Metrics, clock: Callable[[], datetime]
    ) -> None:
        self._facts, self._cluster, self._events, self._metrics, self._clock = facts, cluster, events, metrics, clock

    async def write(self, execution: NotebookExecution, status: Status, *, terminal: bool) -> None:
        """Write a status that follows from the execution as it was read, and tell of it; nothing happens when nothing changed.

        Raises:
            ConflictError: the end of an execution that was changed since it was read.
            ClusterError: it was not written.
        """
        before = execution.status
        patch = merge_patch(before.document() if before.conditions else {}, status.document())
        if not patch:
            return
        body: dict[str, Any] = {"status": patch}
        if terminal:
            # An end is reported once: if the object changed meanwhile (a cancel, another operator), reconcile again.
            body["metadata"] = {"resourceVersion": execution.metadata.resource_version}
        self._facts.put_execution(await self._cluster.patch_status(execution.name, body))
        if status.attempts > max(before.attempts, 1):
            self._metrics.retries.inc()
        if status.reason is not before.reason:
            self._tell(execution, before, status)

    def log(self, execution: NotebookExecution, message: str, reason: Reason | None = None) -> None:
        """A line in the log, with what people search for."""
        extra = {
            "execution": execution.name,
            "notebook": execution.spec.notebook.name,
            "reason": str(reason or execution.status.reason),
        }
        _LOGGER.info(message, extra=extra)

    def _tell(self, execution: NotebookExecution, before: Status, status: Status) -> None:
        self.log(execution, status.message or str(status.reason), reason=status.reason)
        now = self._clock()
        if status.terminal and before.start_time is None and status.start_time is not None:
            # A kubelet may tell of a short run's start and end at once; people shall read of both.
            began = status.model_copy(update={"phase": Phase.RUNNING, "reason": Reason.RUNNING, "message": ""})
            self._events.tell(execution, began, status.start_time)
        if status.terminal or status.reason in _TOLD:
            self._events.tell(execution, status, now)
        if before.start_time is None and status.start_time is not None:
            self._metrics.to_start.observe(max(0.0, (now - execution.created).total_seconds()))
        if not status.terminal or before.terminal:
            return
        self._metrics.finished.labels(status.reason).inc()
        self._metrics.to_finish.observe(max(0.0, (now - execution.created).total_seconds()))
        ended = self._facts.ended.pop(execution.uid, None)
        if ended is not None:
            self._metrics.lag.observe(time.monotonic() - ended)


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest merge patch (RFC 7386) from one document to another; empty when they are the same. Pure."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        known = before.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            inner = merge_patch(known, value)
            if inner:
                patch[key] = inner
        elif key not in before or known != value:
            patch[key] = value
    return patch
