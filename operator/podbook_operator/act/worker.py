"""A worker: takes one execution after the other from the queue, has it reconciled, and requeues it if that fails."""

import logging
from typing import Protocol

from podbook_cluster.errors import ClusterError, ClusterUnavailableError
from podbook_core.schema.validation import ValidationBusyError
from podbook_core.store.base import StoreError
from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue
from podbook_operator.metrics import Metrics

__all__ = ["Worker"]

_LOGGER = logging.getLogger(__name__)


class Visitor(Protocol):
    """Does what there is to do about one execution; :class:`podbook_operator.act.reconcile.Reconciler` is one."""

    async def visit(self, name: str) -> float | None:
        """See :meth:`podbook_operator.act.reconcile.Reconciler.visit`."""
        ...


class Worker:
    """Works the queue. Several may run at once; the queue keeps two from the same execution.

    Args:
        queue: who is due.
        facts: who has a place.
        visitor: does the work.
        metrics: tells Prometheus.
    """

    def __init__(self, queue: WorkQueue, facts: Facts, visitor: Visitor, metrics: Metrics) -> None:
        self._queue, self._facts, self._visitor, self._metrics = queue, facts, visitor, metrics

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self.step()

    async def step(self) -> None:
        """Wait for an execution that is due, and look at it."""
        key = await self._queue.get()
        # One that was requeued has given its place back, and stands in line again.
        self._facts.return_to_line(key)
        self._grant(at_work=key)
        try:
            with self._metrics.reconcile.time():
                again = await self._visitor.visit(key)
            self._queue.succeeded(key)
            if again is not None:
                self._queue.add_after(key, again)
        except (StoreError, ClusterError, ValidationBusyError) as error:
            # Its Job may exist although the answer was lost, so it keeps its place.
            self._put_off(key, error)
        except Exception as error:
            _LOGGER.exception("unexpected error; requeued", extra={"execution": key})
            # What is wrong with one execution must not keep a place from the others until its queue time-out.
            self._facts.places.give_back(key)
            self._put_off(key, error)
        finally:
            self._queue.done(key)
            self._grant()

    def _grant(self, at_work: str | None = None) -> None:
        for name in self._facts.places.grant():
            if name != at_work:  # it is looked at right now, and would otherwise be again without a pause
                self._queue.add(name)

    def _put_off(self, key: str, error: Exception) -> None:
        wait = error.retry_after if isinstance(error, ClusterUnavailableError) and error.retry_after else 0.0
        seconds = self._queue.retry(key, wait)
        self._metrics.errors.labels(type(error).__name__).inc()
        _LOGGER.warning("requeued for %.0f s: %s", seconds, error, extra={"execution": key, "cause": type(error).__name__})
