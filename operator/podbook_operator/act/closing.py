"""The end of an execution: its record, then its access, then its status. Each step may be repeated.

Record before a terminal status, because readers trust the record; only an end without results may become terminal while the store is
away. Between the two the Secret with the signed access is deleted: before the record it might be needed again, and after the status nobody
would look for it.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from podbook_cluster.errors import RefusedError
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import advance, change_at_end, mark_stored
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.names import secret_name
from podbook_operator.act.live_read import Reader
from podbook_operator.act.status_writer import StatusWriter
from podbook_operator.act.storage import Storage
from podbook_operator.cluster import Cluster
from podbook_operator.decide.attempts import attempts_begun
from podbook_operator.decide.decisions import Finish
from podbook_operator.facts.cache import Facts

__all__ = ["Closer"]

_LOGGER = logging.getLogger(__name__)


class Closer:
    """Brings executions to their end.

    Args:
        facts: which attempts there were.
        cluster: where the Secret is.
        storage: where the record goes.
        reader: for the parameters, which belong into the record.
        status: tells the end.
        clock: the present.
    """

    def __init__(
        self,
        *,
        facts: Facts,
        cluster: Cluster,
        storage: Storage,
        reader: Reader,
        status: StatusWriter,
        clock: Callable[[], datetime],
    ) -> None:
        self._facts, self._cluster, self._storage = facts, cluster, storage
        self._reader, self._status, self._clock = reader, status, clock

    async def finish(self, execution: NotebookExecution, decision: Finish, manifest: AttemptManifest | None = None) -> None:
        """End an execution as was decided, with the manifest of the attempt that decided it or whose results are kept.

        Raises:
            StoreUnavailableError: later, if there are results; else the end is told, and its record follows later.
        """
        # A Job may be gone because its execution is, and then nothing is to be recorded.
        whole = await self._recordable(execution, live=decision.end.reason is Reason.JOB_LOST)
        now = self._clock()
        end, pods = decision.end, self._facts.pods_of(execution.uid)
        change = replace(
            change_at_end(end, manifest),
            start_time=decision.start_time,
            completion_time=decision.completion_time,
            # An attempt may have come and ended since the status was written last.
            attempts=attempts_begun(execution.status, pods),
            pod_name=pods[-1].name if pods else None,
        )
        status = advance(whole.status, change, generation=whole.metadata.generation, now=now)
        try:
            record = await self._storage.close_record(whole.with_status(status), manifest)
        except StoreUnavailableError:
            if manifest is not None or end.reason is Reason.SUCCEEDED:
                raise  # the results are what it is about: the end is told when they are safe
            await self._status.write(whole, status, terminal=True)
            return
        await self._remove_access(whole)
        told = record.execution.status
        await self._status.write(whole, mark_stored(told, told.results, now=now) if told.results else told, terminal=True)

    async def record(self, execution: NotebookExecution) -> None:
        """What is left to do for an end that was told while the store was away."""
        whole = await self._recordable(execution)
        told = (await self._storage.close_record(whole, None)).execution.status
        await self._remove_access(whole)
        if told.results is not None:
            await self._status.write(whole, mark_stored(whole.status, told.results, now=self._clock()), terminal=True)

    async def _remove_access(self, execution: NotebookExecution) -> None:
        # What was never accepted has no Secret; whether any other has one is known to the API server only.
        if execution.status.resolved is None:
            return
        try:
            await self._cluster.delete_secret(secret_name(execution.uid))
        except RefusedError as error:
            # A policy of the cluster. The end does not wait for it, and the Secret is deleted with the execution.
            _LOGGER.warning("its Secret cannot be deleted: %s", error, extra={"execution": execution.name})

    async def _recordable(self, execution: NotebookExecution, *, live: bool = False) -> NotebookExecution:
        """What a record holds of an execution: all of it, except parameters that cannot be read."""
        try:
            return await (self._reader.live(execution) if live else self._reader.whole(execution))
        except ValidationError:
            return execution
