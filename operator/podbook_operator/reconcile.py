"""Carries decisions out: look at one execution, decide, act, look again, until there is nothing to do but wait.

Every action is idempotent and may be interrupted anywhere: whoever comes next finds the facts and goes on. Order matters in two places.
Secret before Job, because the pod mounts it. Record before a terminal status, because readers trust the record; only an end without
results may become terminal while the store is away.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, assert_never

from pydantic import ValidationError

from podbook_core.acceptance import Refused
from podbook_core.attempt import AttemptManifest
from podbook_core.model import NotebookExecution, Progress, Status
from podbook_core.names import job_name, secret_name
from podbook_core.profiles import Profiles
from podbook_core.reasons import Reason
from podbook_core.store.base import StoreUnavailableError
from podbook_core.transitions import Change, advance, mark_stored
from podbook_core.verdict import End
from podbook_operator.access import Signer
from podbook_operator.cluster import Cluster, ConflictError, NotFoundError, RefusedError
from podbook_operator.decisions import (
    Accept,
    CloseRecord,
    Confirm,
    Decision,
    DeleteResource,
    Explain,
    Finish,
    ReadAttempts,
    ReadManifest,
    ReadProgress,
    Start,
    StopJob,
    Update,
    Wait,
)
from podbook_operator.events import EventRecorder
from podbook_operator.facts import Entry, Facts
from podbook_operator.job import UID_LABEL
from podbook_operator.launch import Launcher
from podbook_operator.malformed import refusal
from podbook_operator.metrics import Metrics
from podbook_operator.observe import job_from_object
from podbook_operator.patches import merge_patch
from podbook_operator.plan import Policy, Situation, plan
from podbook_operator.storage import Storage

__all__ = ["Reconciler"]

_LOGGER = logging.getLogger(__name__)
_STEPS = 30
"""Most decisions in one visit; a sane one takes five. More would be a circle, which is left and reported."""
_CELLS = 1_000_000
_TOLD = (Reason.QUEUED, Reason.RUNNING)
"""Reasons, besides the terminal ones, that are worth an Event."""


@dataclass(slots=True)
class _Memory:
    """What was read from the store about one execution. Reading it again gives the same; this only saves the time."""

    manifests: dict[str, AttemptManifest | None] = field(default_factory=dict)
    attempts_read_for: str | None = None
    rejection: str | None = None
    progress_read: datetime | None = None


class _LookAgainError(Exception):
    """What was known is outdated; the facts have been corrected."""


class Reconciler:
    """Works on one execution at a time for each caller; the work queue keeps two from meeting at the same one.

    Args:
        facts: what is known; corrected by what the API server answers.
        cluster: where things are written.
        storage: the object store.
        signer: signs the pods' access.
        profiles: what may be run on.
        policy: the settings decisions depend on.
        events: tells people.
        metrics: tells Prometheus.
        clock: the present; tests pass their own.
    """

    def __init__(
        self,
        *,
        facts: Facts,
        cluster: Cluster,
        storage: Storage,
        signer: Signer,
        profiles: Profiles,
        policy: Policy,
        events: EventRecorder,
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._facts, self._cluster, self._storage = facts, cluster, storage
        self._launcher = Launcher(cluster, storage, signer, profiles, policy.publish_timeout)
        self._profiles, self._policy, self._events, self._metrics, self._clock = profiles, policy, events, metrics, clock
        self._memories: dict[str, _Memory] = {}

    async def visit(self, name: str) -> float | None:
        """Do what there is to do about one execution.

        Returns:
            After how many seconds to look again, whatever happens meanwhile; None when only an event can change anything.

        Raises:
            StoreUnavailableError: later; nothing is lost.
            ClusterError: later; nothing is lost.
        """
        confirmed = False
        for _ in range(_STEPS):
            entry = self._facts.entries.get(name)
            if entry is None:
                return None
            try:
                execution = entry.execution()
            except ValidationError as error:
                await self._refuse_malformed(entry, error)
                return None
            memory = self._memories.setdefault(entry.uid, _Memory())
            decision = self._decide(execution, memory, confirmed=confirmed)
            if isinstance(decision, Wait):
                if execution.status.terminal:
                    self._memories.pop(entry.uid, None)
                return None if decision.until is None else max(0.05, (decision.until - self._clock()).total_seconds())
            if isinstance(decision, Confirm):
                confirmed = True
            try:
                await self._carry_out(decision, execution, memory)
            except (_LookAgainError, ConflictError, NotFoundError):
                await self._reread(name)
            except ValidationError as error:
                await self._refuse_malformed(entry, error)
                return None
        _LOGGER.error("no end of decisions in sight; looking again later", extra={"execution": name})
        return 10.0

    def forget(self, uid: str) -> None:
        """An execution is gone."""
        self._memories.pop(uid, None)

    def _decide(self, execution: NotebookExecution, memory: _Memory, *, confirmed: bool) -> Decision:
        uid = execution.uid
        situation = Situation(
            execution=execution,
            job=self._facts.job(uid),
            pods=self._facts.pods_of(uid),
            slot=execution.name in self._facts.granted,
            now=self._clock(),
            confirmed=confirmed,
            manifests=memory.manifests,
            attempts_read_for=memory.attempts_read_for,
            rejection=memory.rejection,
            progress_read=memory.progress_read,
        )
        return plan(situation, self._policy)

    async def _carry_out(self, decision: Decision, execution: NotebookExecution, memory: _Memory) -> None:
        uid = execution.uid
        match decision:
            case Wait():
                return
            case Accept():
                await self._accept(execution)
            case Start():
                await self._start(execution)
            case Update(change):
                await self._advance(execution, change)
            case Confirm():
                await self._confirm(execution)
            case Explain():
                memory.rejection = await self._explain(uid)
            case ReadManifest(attempt):
                memory.manifests[attempt] = await self._storage.manifest(uid, attempt)
            case ReadAttempts(seen):
                memory.manifests.update(await self._storage.manifests(uid))
                memory.attempts_read_for = seen
            case ReadProgress(attempt):
                memory.progress_read = self._clock()
                await self._progress(execution, attempt)
            case StopJob(job_uid, why):
                self._log(execution, f"the Job is deleted: {why}")
                await self._stop_job(execution, job_uid)
            case Finish():
                await self._finish(execution, decision, memory.manifests.get(decision.attempt or ""))
            case CloseRecord():
                await self._close(execution)
            case DeleteResource():
                await self._cluster.delete_execution(execution.name, uid)
                self._facts.drop_execution(execution.name, uid)
            case _:
                assert_never(decision)

    async def _accept(self, execution: NotebookExecution) -> None:
        live = await self._live(execution)
        try:
            answer = await self._storage.accept(live.spec, self._profiles)
        except StoreUnavailableError as error:
            await self._advance(execution, Change(Reason.PENDING, "the object store cannot be reached; it is tried again"))
            raise StoreUnavailableError(str(error)) from error
        if isinstance(answer, Refused):
            await self._finish(execution, Finish(End(answer.reason, answer.message), None), None)
        elif answer.profile.image is None:
            end = End(Reason.CONFIGURATION_ERROR, f"profile {answer.resolved.profile} names no image, and there is no default one")
            await self._finish(execution, Finish(end, None), None)
        else:
            await self._advance(execution, Change(Reason.QUEUED, "waiting for a free slot", resolved=answer.resolved))

    async def _start(self, execution: NotebookExecution) -> None:
        launch = await self._launcher.prepare(await self._live(execution))
        answer = launch if isinstance(launch, End) else await self._launcher.create(launch)
        if isinstance(answer, End):
            await self._finish(execution, Finish(answer, None), None)
        else:
            self._facts.put_job(answer)

    async def _confirm(self, execution: NotebookExecution) -> None:
        try:
            job = await self._cluster.get_job(job_name(execution.uid))
        except NotFoundError:
            job = None
        if job is not None and job_from_object(job).owner_uid != execution.uid:
            job = None
        pods = await self._cluster.list_pods(f"{UID_LABEL}={execution.uid}")
        self._facts.replace_live(execution.uid, job, list(pods))

    async def _explain(self, uid: str) -> str:
        job = self._facts.job(uid)
        if job is None:
            return ""
        failed = [item for item in await self._cluster.job_events(job.uid) if item.get("reason") == "FailedCreate"]
        newest = max(failed, key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""), default=None)
        return "" if newest is None else f"the cluster refuses its pod: {str(newest.get('message', ''))[:800]}"

    async def _progress(self, execution: NotebookExecution, attempt: str) -> None:
        try:
            progress = await self._storage.progress(execution.uid, attempt)
        except StoreUnavailableError:
            return  # it is only progress
        if progress is None or progress == execution.status.progress:
            return
        done = 0 < progress.total <= progress.completed
        await self._advance(execution, Change(Reason.PUBLISHING if done else Reason.RUNNING, progress=progress))

    async def _stop_job(self, execution: NotebookExecution, job_uid: str) -> None:
        name = job_name(execution.uid)
        await self._cluster.delete_job(name, job_uid)
        try:
            self._facts.put_job(await self._cluster.get_job(name))
        except NotFoundError:
            self._facts.jobs.pop(execution.uid, None)

    async def _finish(self, execution: NotebookExecution, decision: Finish, manifest: AttemptManifest | None) -> None:
        live = await self._live(execution)
        now = self._clock()
        end = decision.end
        change = Change(
            end.reason,
            end.message,
            error=end.error,
            start_time=decision.start_time,
            completion_time=decision.completion_time,
            attempts=len(self._facts.pods_of(execution.uid)),
            progress=_final_progress(manifest),
        )
        status = advance(live.status, change, generation=live.metadata.generation, now=now)
        try:
            record = await self._storage.close_record(live.with_status(status), manifest)
        except StoreUnavailableError:
            if manifest is not None or end.reason is Reason.SUCCEEDED:
                raise  # the results are what it is about: the end is told when they are safe
            await self._write(live, status, terminal=True)
            return
        told = record.execution.status
        await self._write(live, mark_stored(told, told.results, now=now) if told.results else told, terminal=True)

    async def _close(self, execution: NotebookExecution) -> None:
        live = await self._live(execution)
        told = (await self._storage.close_record(live, None)).execution.status
        if told.results is not None:
            await self._write(live, mark_stored(live.status, told.results, now=self._clock()), terminal=True)

    async def _advance(self, execution: NotebookExecution, change: Change) -> None:
        status = advance(execution.status, change, generation=execution.metadata.generation, now=self._clock())
        if status.attempts > max(execution.status.attempts, 1):
            self._metrics.retries.inc()
        await self._write(execution, status, terminal=False)

    async def _write(self, execution: NotebookExecution, status: Status, *, terminal: bool) -> None:
        before = execution.status
        patch = merge_patch(before.document() if before.conditions else {}, status.document())
        if not patch:
            return
        body: dict[str, Any] = {"status": patch}
        if terminal:
            # An end is told once: whoever changed the object meanwhile (a cancel, another operator) makes us look again.
            body["metadata"] = {"resourceVersion": execution.metadata.resource_version}
        self._facts.put_execution(await self._cluster.patch_status(execution.name, body))
        if status.reason is not before.reason:
            await self._told(execution, before, status)

    async def _told(self, execution: NotebookExecution, before: Status, status: Status) -> None:
        self._log(execution, status.message or str(status.reason), reason=status.reason)
        if status.terminal or status.reason in _TOLD:
            self._events.tell(execution, status, self._clock())
        now = self._clock()
        if before.start_time is None and status.start_time is not None:
            self._metrics.to_start.observe(max(0.0, (now - execution.created).total_seconds()))
        if not status.terminal or before.terminal:
            return
        self._metrics.finished.labels(status.reason).inc()
        self._metrics.to_finish.observe(max(0.0, (now - execution.created).total_seconds()))
        ended = self._facts.ended.pop(execution.uid, None)
        if ended is not None:
            self._metrics.lag.observe(time.monotonic() - ended)
        if status.job_uid is not None or self._facts.job(execution.uid) is not None:
            await self._cluster.delete_secret(secret_name(execution.uid))

    async def _live(self, execution: NotebookExecution) -> NotebookExecution:
        """The execution as the API server has it, parameters included; only if it is the one that was decided about."""
        body = await self._cluster.get_execution(execution.name)
        if body["metadata"]["uid"] != execution.uid:
            raise _LookAgainError
        if body["metadata"]["resourceVersion"] != execution.metadata.resource_version:
            self._facts.put_execution(body)
            raise _LookAgainError
        return NotebookExecution.model_validate(body)

    async def _reread(self, name: str) -> None:
        try:
            self._facts.put_execution(await self._cluster.get_execution(name))
        except NotFoundError:
            entry = self._facts.entries.get(name)
            if entry is not None:
                self._facts.drop_execution(name, entry.uid)

    async def _refuse_malformed(self, entry: Entry, error: ValidationError) -> None:
        if entry.terminal:
            return
        patch = refusal(error, now=self._clock())
        try:
            self._facts.put_execution(await self._cluster.patch_status(entry.name, {"status": patch}))
        except (NotFoundError, RefusedError) as problem:
            _LOGGER.warning("a malformed execution cannot be told so: %s", problem, extra={"execution": entry.name})

    def _log(self, execution: NotebookExecution, message: str, reason: Reason | None = None) -> None:
        extra = {
            "execution": execution.name,
            "notebook": execution.spec.notebook.name,
            "reason": str(reason or execution.status.reason),
        }
        _LOGGER.info(message, extra=extra)


def _final_progress(manifest: AttemptManifest | None) -> Progress | None:
    if manifest is None:
        return None
    return Progress(completed=min(manifest.cells_completed, _CELLS), total=min(manifest.cells_total, _CELLS))
