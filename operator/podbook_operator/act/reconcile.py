"""Carries decisions out: look at one execution, decide, act, look again, until there is nothing to do but wait.

Every action is idempotent and may be interrupted anywhere: the next reconciliation finds the facts and continues. Order matters in two places:
Secret before Job, because the pod mounts it; and at the end, see :mod:`podbook_operator.act.closing`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import assert_never

from pydantic import ValidationError

from podbook_cluster.errors import ConflictError, NotFoundError
from podbook_core.execution.acceptance import Refused
from podbook_core.execution.labels import UID_LABEL
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution, Status
from podbook_core.execution.profiles import Profiles
from podbook_core.execution.reasons import Reason
from podbook_core.execution.stored import needs_newer
from podbook_core.execution.transitions import Change, advance, change_of_progress
from podbook_core.execution.verdict import End
from podbook_core.schema.validation import ValidationBusyError
from podbook_core.store.base import StoreUnavailableError
from podbook_core.text.names import job_name
from podbook_operator.act.closing import Closer
from podbook_operator.act.kube_events import EventRecorder
from podbook_operator.act.launch import Launcher
from podbook_operator.act.live_read import LookAgainError, Reader
from podbook_operator.act.status_writer import StatusWriter
from podbook_operator.act.storage import Storage
from podbook_operator.cluster import Cluster
from podbook_operator.decide.decisions import (
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
from podbook_operator.decide.plan import plan
from podbook_operator.decide.situation import Policy, Rejection, Situation
from podbook_operator.decide.unreadable import refusal, understood
from podbook_operator.facts.cache import Entry, Facts
from podbook_operator.facts.observe import job_from_object, rejection_from_events
from podbook_operator.metrics import Metrics

__all__ = ["Reconciler"]

_LOGGER = logging.getLogger(__name__)
_STEPS = 30
"""Most decisions in one visit; a sane one takes five. More would be a circle, which is left and reported."""


@dataclass(slots=True)
class _Memory:
    """What was asked about one execution, and when. Asking again gives the same, or better; this only saves the time."""

    manifests: dict[str, AttemptManifest | None] = field(default_factory=dict)
    attempts_read_for: str | None = None
    attempt_over: datetime | None = None
    rejection: Rejection | None = None
    progress_read: datetime | None = None


class Reconciler:
    """Works on one execution at a time for each caller; the work queue keeps two from meeting at the same one.

    Args:
        facts: what is known; corrected by what the API server answers.
        cluster: where things are written.
        storage: the object store.
        launcher: creates what they run in.
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
        launcher: Launcher,
        profiles: Profiles,
        policy: Policy,
        events: EventRecorder,
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._facts, self._cluster, self._storage = facts, cluster, storage
        self._launcher = launcher
        self._profiles, self._policy, self._clock = profiles, policy, clock
        self._reader = Reader(facts, cluster)
        self._status = StatusWriter(facts, cluster, events, metrics, clock)
        self._closer = Closer(facts=facts, cluster=cluster, storage=storage, reader=self._reader, status=self._status, clock=clock)
        self._memories: dict[str, _Memory] = {}

    async def visit(self, name: str) -> float | None:
        """Do what there is to do about one execution.

        Returns:
            After how many seconds to look again, whatever happens meanwhile; None when only an event can change anything.

        Raises:
            StoreUnavailableError: later; nothing is lost.
            ClusterError: later; nothing is lost.
            ValidationBusyError: later; nothing is lost.
        """
        confirmed = False
        for _ in range(_STEPS):
            entry = self._facts.entries.get(name)
            if entry is None:
                return None
            memory = self._memories.setdefault(entry.uid, _Memory())
            try:
                decision = await self._visit(entry, memory, confirmed=confirmed)
            except (LookAgainError, ConflictError, NotFoundError):
                await self._reader.again(name)
                continue
            if isinstance(decision, Wait):
                if entry.terminal:
                    self._memories.pop(entry.uid, None)
                return None if decision.until is None else max(0.05, (decision.until - self._clock()).total_seconds())
            confirmed = confirmed or isinstance(decision, Confirm)
        _LOGGER.error("too many decisions in one reconciliation; requeued", extra={"execution": name})
        return 10.0

    def forget(self, uid: str) -> None:
        """An execution is gone."""
        self._memories.pop(uid, None)

    async def _visit(self, entry: Entry, memory: _Memory, *, confirmed: bool) -> Decision:
        """Take one step. Returns what it was."""
        refused: End | None = None
        try:
            stored = entry.stored()
            execution = stored.execution
            if stored.newer and not execution.spec.cancel and not execution.status.terminal:
                await self._wait_for_newer(execution, stored.newer)
                return Wait()
        except ValidationError as error:
            refused, part = refusal(error), understood(entry.document, error)
            if part is None:
                await self._refuse_unread(entry, refused)
                return Wait()
            execution = part
        if refused is not None and not execution.status.terminal and execution.metadata.deletion_timestamp is None:
            decision: Decision = Finish(refused, None)
        else:
            decision = self._decide(execution, memory, confirmed=confirmed)
        try:
            await self._carry_out(decision, execution, memory)
        except ValidationError as error:
            # Parameters that are too large to be kept are read when they are needed, and only then seen to be malformed.
            await self._closer.finish(execution, Finish(refusal(error), None))
        return decision

    def _decide(self, execution: NotebookExecution, memory: _Memory, *, confirmed: bool) -> Decision:
        uid = execution.uid
        situation = Situation(
            execution=execution,
            job=self._facts.job(uid),
            pods=self._facts.pods_of(uid),
            slot=execution.name in self._facts.places.granted,
            now=self._clock(),
            confirmed=confirmed,
            manifests=memory.manifests,
            attempts_read_for=memory.attempts_read_for,
            attempt_over=memory.attempt_over,
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
            case Explain(since):
                memory.rejection = await self._explain(uid, since)
            case ReadManifest(attempt):
                memory.manifests[attempt] = await self._storage.manifest(uid, attempt)
                memory.attempt_over = self._clock()
            case ReadAttempts(seen):
                memory.manifests.update(await self._storage.manifests(uid))
                memory.attempts_read_for, memory.attempt_over = seen, self._clock()
            case ReadProgress(attempt):
                memory.progress_read = self._clock()
                await self._progress(execution, attempt)
            case StopJob(job_uid, why):
                self._status.log(execution, f"the Job is being deleted: {why}")
                await self._stop_job(execution, job_uid)
            case Finish():
                await self._closer.finish(execution, decision, memory.manifests.get(decision.attempt or ""))
            case CloseRecord():
                await self._closer.record(execution)
            case DeleteResource():
                await self._cluster.delete_execution(execution.name, uid)
                self._facts.drop_execution(execution.name, uid)
            case _:
                assert_never(decision)

    async def _accept(self, execution: NotebookExecution) -> None:
        whole = await self._reader.whole(execution)
        try:
            answer = await self._storage.accept(whole.spec, self._profiles)
        except StoreUnavailableError as error:
            await self._advance(execution, Change(Reason.PENDING, "the object store cannot be reached; retrying"))
            raise StoreUnavailableError(str(error)) from error
        except ValidationBusyError:
            await self._advance(execution, Change(Reason.PENDING, "its parameters are waiting to be validated; retrying"))
            raise
        if isinstance(answer, Refused):
            await self._closer.finish(execution, Finish(End(answer.reason, answer.message), None))
        elif answer.profile.image is None:
            end = End(Reason.CONFIGURATION_ERROR, f"profile {answer.resolved.profile} has no image, and there is no default image")
            await self._closer.finish(execution, Finish(end, None))
        else:
            await self._advance(execution, Change(Reason.QUEUED, "waiting for a free slot", resolved=answer.resolved))

    async def _start(self, execution: NotebookExecution) -> None:
        launch = await self._launcher.prepare(await self._reader.live(execution))
        answer = launch if isinstance(launch, End) else await self._launcher.create(launch)
        if isinstance(answer, End):
            await self._closer.finish(execution, Finish(answer, None))
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

    async def _explain(self, uid: str, since: datetime) -> Rejection:
        job, asked = self._facts.job(uid), self._clock()
        events = [] if job is None else await self._cluster.job_events(job.uid)
        return Rejection(since, asked, rejection_from_events(events, since))

    async def _progress(self, execution: NotebookExecution, attempt: str) -> None:
        try:
            progress = await self._storage.progress(execution.uid, attempt)
        except StoreUnavailableError:
            return  # it is only progress
        if progress is None or progress == execution.status.progress:
            return
        await self._advance(execution, change_of_progress(progress))

    async def _stop_job(self, execution: NotebookExecution, job_uid: str) -> None:
        name = job_name(execution.uid)
        await self._cluster.delete_job(name, job_uid)
        try:
            self._facts.put_job(await self._cluster.get_job(name))
        except NotFoundError:
            self._facts.jobs.pop(execution.uid, None)

    async def _advance(self, execution: NotebookExecution, change: Change) -> None:
        status = advance(execution.status, change, generation=execution.metadata.generation, now=self._clock())
        await self._status.write(execution, status, terminal=False)

    async def _wait_for_newer(self, execution: NotebookExecution, newer: tuple[str, ...]) -> None:
        """Leave an execution alone whose spec says what only a newer operator knows: until there is one, or until it is cancelled.

        What runs goes on; a newer operator judges it. Only what has no Job yet tells why it waits: the status of what runs is right as it
        is, and would keep a message of this operator after the next one has taken over.
        """
        message, status = needs_newer("operator", newer), execution.status
        self._status.log(execution, message)
        if status.job_uid is None and self._facts.job(execution.uid) is None:
            if status.message != message and execution.metadata.deletion_timestamp is None:
                await self._advance(execution, Change(Reason.PENDING if status.resolved is None else Reason.QUEUED, message))
            # After the status was written, which would let it wait for a place again.
            self._facts.places.give_back(execution.name)

    async def _refuse_unread(self, entry: Entry, end: End) -> None:
        """Answer a document of which not even the notebook is understood. It cannot have a record."""
        if not entry.terminal:
            status = advance(Status(), Change(end.reason, end.message), generation=None, now=self._clock())
            self._facts.put_execution(await self._cluster.patch_status(entry.name, {"status": status.document()}))
