"""Lists over many executions: every one exactly once, newest first, whatever the page size and whatever is filtered."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from podbook_api.auth.keys import Anonymous, Caller
from podbook_api.auth.links import LinkSigner
from podbook_api.services import executions as module
from podbook_api.services.context import Context, NoFolder
from podbook_api.services.errors import ExecutionNotFoundError, UnreadableError
from podbook_api.services.executions import ExecutionService, Filters
from podbook_api.settings import ApiSettings
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec, Status
from podbook_core.execution.profiles import parse_profiles
from podbook_core.execution.reasons import Phase, Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.directory import DirectoryStore
from podbook_core.store.keys import record_key
from podbook_core.threads import Threads

from .scripted_backend import ScriptedBackend

EVERYONE = Caller(None, ("*",))
START = datetime(2026, 5, 1, tzinfo=UTC)
COUNT = 120


def execution(number: int, reason: Reason) -> NotebookExecution:
    """Execution number so and so; several share one moment of creation."""
    made = NotebookExecution(
        metadata=Metadata(
            name=f"nb-{number}",
            uid=f"uid-{number:04d}",
            creation_timestamp=START + timedelta(seconds=number // 3),
            labels={"parity": "even" if number % 2 == 0 else "odd"},
        ),
        spec=Spec(notebook=NotebookRef(name="a" if number % 4 else "b"), submitted_by="ann" if number % 5 == 0 else "bob"),
    )
    return made.with_status(advance(Status(), Change(reason), generation=1, now=START))


def reason_of(number: int) -> Reason:
    """Every third one failed."""
    return Reason.CELL_FAILED if number % 3 == 0 else Reason.SUCCEEDED


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """A store with the records of all executions but the newest ones."""
    made = DirectoryStore(tmp_path_factory.mktemp("store"))
    records = RecordStore(made)
    for number in range(COUNT):
        records.close(execution(number, reason_of(number)), None)
    return made


LIVE = [*(execution(number, Reason.RUNNING) for number in (COUNT, COUNT + 1, 30_000)), execution(COUNT - 1, reason_of(COUNT - 1))]
"""Two just created, one of a clock far ahead, and one that has ended and is not gone yet."""


@pytest.fixture
def service(store: DirectoryStore, tmp_path: Path) -> Iterator[ExecutionService]:
    """The service over that store."""
    with ContractValidator(workers=1) as validator:
        context = Context(
            store,
            ScriptedBackend(LIVE),
            validator,
            parse_profiles(None),
            Anonymous(),
            LinkSigner.random(),
            ApiSettings(data_dir=tmp_path),
            NoFolder(),
        )
        yield ExecutionService(context, threads=Threads(4))


async def collect(service: ExecutionService, caller: Caller, filters: Filters, limit: int) -> list[str]:
    """Names of all pages."""
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = await service.page(caller, filters, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        names += [item.name for item in page.items]
        if page.next_cursor is None:
            return names
        assert page.next_cursor != cursor
        cursor = page.next_cursor


def expected(wanted: Sequence[NotebookExecution]) -> list[str]:
    """Names in the order of lists."""
    ordered = sorted(wanted, key=lambda item: item.uid)
    return [item.name for item in sorted(ordered, key=lambda item: item.created, reverse=True)]


ALL = [*(execution(number, reason_of(number)) for number in range(COUNT)), *LIVE[:3]]


@pytest.mark.parametrize("limit", [1, 7, 50, 200])
async def test_pages_hold_everything_once(service: ExecutionService, limit: int) -> None:
    assert await collect(service, EVERYONE, Filters(), limit) == expected(ALL)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(notebook="b"),
        Filters(phase=Phase.FAILED),
        Filters(reason=Reason.SUCCEEDED),
        Filters(phase=Phase.RUNNING),
        Filters(labels={"parity": "odd"}),
        Filters(notebook="a", phase=Phase.FAILED, labels={"parity": "even"}),
        Filters(notebook="none"),
    ],
)
@pytest.mark.parametrize("budget", [2000, 10])
async def test_filters_leave_out_and_nothing_else(
    service: ExecutionService, filters: Filters, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a small budget pages are short or empty, and the cursor still leads to everything.
    monkeypatch.setattr(module, "SCANNED_PER_PAGE", budget)
    monkeypatch.setattr(module, "_CHUNK", min(budget, 200))
    assert await collect(service, EVERYONE, filters, 9) == expected([item for item in ALL if filters.match(item)])


async def test_a_caller_gets_its_own_only(service: ExecutionService) -> None:
    ann = Caller("ann", ("notebooks/*/run",))
    own = [item for item in ALL if item.spec.submitted_by == "ann"]
    assert await collect(service, ann, Filters(), 11) == expected(own)
    assert await collect(service, ann, Filters(notebook="b"), 11) == expected([i for i in own if i.spec.notebook.name == "b"])
    assert await collect(service, Caller("eve", ()), Filters(), 11) == []


async def test_a_new_execution_does_not_shift_later_pages(service: ExecutionService, store: DirectoryStore) -> None:
    first = await service.page(EVERYONE, Filters(), limit=10, cursor=None)
    late = execution(20_000, Reason.SUCCEEDED)
    record = RecordStore(store).close(late, None)
    try:
        second = await service.page(EVERYONE, Filters(), limit=10, cursor=first.next_cursor)
        assert [item.name for item in [*first.items, *second.items]] == expected(ALL)[:20]
    finally:
        RecordStore(store).forget(record)


@pytest.fixture
def damaged(store: DirectoryStore) -> Iterator[str]:
    """The name of an execution whose record cannot be read."""
    key = record_key("uid-0060")
    before = store.get(key, limit=2**30).data
    store.put(key, before[:100])
    yield "nb-60"
    store.put(key, before)


@pytest.mark.parametrize("limit", [1, 50])
async def test_a_record_that_cannot_be_read_is_left_out_of_lists(service: ExecutionService, damaged: str, limit: int) -> None:
    others = [item for item in ALL if item.name != damaged]
    assert await collect(service, EVERYONE, Filters(), limit) == expected(others)
    assert await collect(service, Caller("ann", ()), Filters(), limit) == expected(
        [item for item in others if item.spec.submitted_by == "ann"]
    )


async def test_a_record_that_cannot_be_read_is_not_taken_for_none(service: ExecutionService, damaged: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        await service.find(EVERYONE, damaged)
    assert caught.value.stable_code == "InternalError"
    assert damaged in caught.value.message


async def test_what_is_not_there_is_not_found(service: ExecutionService) -> None:
    assert (await service.find(EVERYONE, "nb-7")).uid == "uid-0007"
    with pytest.raises(ExecutionNotFoundError):
        await service.find(EVERYONE, "nb-none")
