"""A key whose execution is still there when it expires, requests that are refused, and crashes at every step: never another request's run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from podbook_api.auth.keys import Anonymous, Caller
from podbook_api.auth.links import LinkSigner
from podbook_api.backends.base import AlreadyExistsError, BackendUnavailableError, InvalidExecutionError, QueueFullError
from podbook_api.services.catalogue import NotebookService
from podbook_api.services.context import Context, NoFolder
from podbook_api.services.creation.creator import CreateRequest, Creation, Creator
from podbook_api.services.errors import KeyReusedError
from podbook_api.services.executions import ExecutionService
from podbook_api.settings import ApiSettings
from podbook_core.execution.idempotency import REQUEST_ANNOTATION
from podbook_core.execution.model import NotebookExecution, NotebookRef, Spec
from podbook_core.execution.profiles import parse_profiles
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore
from podbook_core.threads import Threads

from .scripted_backend import ScriptedBackend

START = datetime(2026, 5, 4, 6, tzinfo=UTC)
BOB = Caller("bob", ("*",))


class CrashError(BaseException):
    """The process is killed: no handler of an ordinary error sees it."""


class Cluster(ScriptedBackend):
    """Keeps what has ended, as a cluster does for as long as ``ttlSecondsAfterFinished`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    @override
    async def create(self, execution: NotebookExecution) -> NotebookExecution:
        """Keep it, unless the name is taken."""
        self.before()
        if execution.name in self._executions:
            raise AlreadyExistsError(self._executions[execution.name])
        metadata = execution.metadata.model_copy(update={"uid": f"uid-{len(self.created)}"})
        made = execution.model_copy(update={"metadata": metadata})
        self._executions[execution.name] = made
        self.created.append(made)
        self.after()
        return made

    def change(self, name: str, change: Callable[[NotebookExecution], NotebookExecution]) -> None:
        """What somebody else does to it."""
        self._executions[name] = change(self._executions[name])

    def end(self, name: str, when: datetime) -> None:
        """It succeeds, and stays."""
        self.change(name, lambda known: known.with_status(advance(known.status, Change(Reason.SUCCEEDED), generation=1, now=when)))


@dataclass
class Site:
    """A store and a cluster with any number of replicas."""

    store: DirectoryStore
    validator: ContractValidator
    data: Path
    cluster: Cluster = field(default_factory=Cluster)
    now: datetime = START

    async def submit(self, parameters: dict[str, Any], *, caller: Caller = BOB, replica: Creator | None = None) -> Creation:
        """Send a request with the key ``nightly``, by default to a replica that has just been started."""
        spec = Spec(notebook=NotebookRef(name="report"), parameters=parameters, ttl_seconds_after_finished=604_800)
        return await (replica or self.replica()).create(caller, CreateRequest(spec, {}, key="nightly"))

    def replica(self) -> Creator:
        """A replica without a memory."""
        context = Context(
            self.store,
            self.cluster,
            self.validator,
            parse_profiles(None),
            Anonymous(),
            LinkSigner.random(),
            ApiSettings(data_dir=self.data),
            NoFolder(),
            lambda: self.now,
        )
        threads, checks = Threads(2), Threads(2)
        notebooks = NotebookService(context, threads=threads, checks=checks)
        return Creator(context, notebooks, ExecutionService(context, threads=threads), threads=threads, checks=checks)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = DirectoryStore(tmp_path / "store")
    VersionStore(store).publish(build_bundle("report", b"{}", Contract(), []), now=START)
    with ContractValidator(workers=1) as validator:
        yield Site(store, validator, tmp_path)


def monday_ended(site: Site, name: str) -> None:
    """It ended, and its key's day is over."""
    site.cluster.end(name, START)
    site.now = START + timedelta(hours=25)


async def test_a_key_used_again_after_its_day_runs_the_new_request(site: Site) -> None:
    monday = await site.submit({"day": "monday"})
    monday_ended(site, monday.execution.name)
    tuesday = await site.submit({"day": "tuesday"})
    assert not tuesday.replayed
    assert tuesday.execution.spec.parameters == {"day": "tuesday"}
    assert tuesday.execution.name != monday.execution.name
    again = await site.submit({"day": "tuesday"})
    assert (again.execution.uid, again.replayed) == (tuesday.execution.uid, True)
    assert len(site.cluster.created) == 2


async def test_the_same_request_after_its_day_runs_again(site: Site) -> None:
    first = await site.submit({"day": "any"})
    monday_ended(site, first.execution.name)
    second = await site.submit({"day": "any"})
    assert not second.replayed
    assert second.execution.uid != first.execution.uid


async def test_a_key_whose_entry_was_swept_while_its_execution_stays(site: Site) -> None:
    monday = await site.submit({"day": "monday"})
    monday_ended(site, monday.execution.name)
    for key in site.store.list("idempotency/"):
        site.store.delete(key)
    tuesday = await site.submit({"day": "tuesday"})
    assert (tuesday.replayed, tuesday.execution.spec.parameters) == (False, {"day": "tuesday"})
    assert (await site.submit({"day": "tuesday"})).execution.uid == tuesday.execution.uid


@pytest.mark.parametrize("digest_noted", [True, False], ids=["noted", "made by an older version"])
async def test_an_entry_that_was_lost_is_made_good_by_the_execution(site: Site, digest_noted: bool) -> None:
    monday = await site.submit({"day": "monday"})
    if not digest_noted:
        bare = {"metadata": monday.execution.metadata.model_copy(update={"annotations": {}})}
        site.cluster.change(monday.execution.name, lambda known: known.model_copy(update=bare))
    for key in site.store.list("idempotency/"):
        site.store.delete(key)
    with pytest.raises(KeyReusedError):
        await site.submit({"day": "tuesday"})
    assert (await site.submit({"day": "monday"})).replayed
    assert len(site.cluster.created) == 1


async def test_an_execution_that_is_being_deleted_is_no_answer(site: Site) -> None:
    first = await site.submit({"day": "monday"})

    def deleted(known: NotebookExecution) -> NotebookExecution:
        return known.model_copy(update={"metadata": known.metadata.model_copy(update={"deletion_timestamp": START})})

    site.cluster.change(first.execution.name, deleted)
    site.now += timedelta(seconds=1)
    second = await site.submit({"day": "monday"})
    assert (second.replayed, second.execution.uid != first.execution.uid) == (False, True)


async def test_an_execution_of_somebody_else_is_no_answer(site: Site) -> None:
    mine = await site.submit({"day": "monday"})

    def taken(known: NotebookExecution) -> NotebookExecution:
        return known.model_copy(update={"spec": known.spec.model_copy(update={"submitted_by": "mallory"})})

    site.cluster.change(mine.execution.name, taken)
    site.now += timedelta(seconds=1)
    again = await site.submit({"day": "monday"})
    assert (again.replayed, again.execution.spec.submitted_by) == (False, "bob")


async def test_the_execution_says_which_request_made_it(site: Site) -> None:
    made = await site.submit({"day": "monday"})
    assert len(made.execution.metadata.annotations[REQUEST_ANNOTATION]) == 64


@pytest.mark.parametrize(
    "refusal",
    [QueueFullError(9, 9, 5), InvalidExecutionError("a policy says no"), BackendUnavailableError("away")],
    ids=lambda error: type(error).__name__,
)
async def test_a_request_that_was_refused_by_the_backend_spends_no_key(site: Site, refusal: Exception) -> None:
    def refuse() -> None:
        raise refusal

    site.cluster.before = refuse
    with pytest.raises(type(refusal)):
        await site.submit({"day": "monday"})
    site.cluster.before = lambda: None
    other = await site.submit({"day": "tuesday"})
    assert (other.replayed, other.execution.spec.parameters) == (False, {"day": "tuesday"})
    with pytest.raises(KeyReusedError):
        await site.submit({"day": "monday"})


async def test_a_request_that_looked_refused_and_was_not_keeps_its_key(site: Site) -> None:
    """The connection broke after the API server had created it."""

    def lost() -> None:
        site.cluster.after = lambda: None
        raise BackendUnavailableError("the connection is lost")

    site.cluster.after = lost
    with pytest.raises(BackendUnavailableError):
        await site.submit({"day": "monday"})
    with pytest.raises(KeyReusedError):
        await site.submit({"day": "tuesday"})
    assert (await site.submit({"day": "monday"})).replayed
    assert len(site.cluster.created) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("renewed", [False, True])
async def test_a_crash_neither_loses_nor_doubles_a_run(site: Site, moment: str, renewed: bool) -> None:
    if renewed:
        monday_ended(site, (await site.submit({"day": "monday"})).execution.name)
    earlier = len(site.cluster.created)

    def crash() -> None:
        raise CrashError

    setattr(site.cluster, moment, crash)
    with pytest.raises(CrashError):
        await site.submit({"day": "tuesday"})
    setattr(site.cluster, moment, lambda: None)
    answers = [await site.submit({"day": "tuesday"}) for _ in range(2)]
    assert len({answer.execution.uid for answer in answers}) == 1
    assert [answer.execution.spec.parameters for answer in answers] == [{"day": "tuesday"}] * 2
    assert len(site.cluster.created) == earlier + 1
