"""The sweeper removes what is old or forgotten, and nothing else."""

import os
from datetime import UTC, datetime, timedelta

from tests.backends.embedded.samples import new_execution

from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.backends.embedded.sweeper import Sweeper
from podbook_core.execution.idempotency import Entry
from podbook_core.execution.model import InputFile, NotebookExecution
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.results.record import RecordStore
from podbook_core.store.directory import DirectoryStore

NOW = datetime(2030, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def alive(uid: str, created: datetime) -> NotebookExecution:
    execution = new_execution("double")
    metadata = execution.metadata.model_copy(update={"uid": uid, "creation_timestamp": created})
    return execution.model_copy(update={"metadata": metadata})


def ended(uid: str, created: datetime) -> NotebookExecution:
    execution = alive(uid, created)
    return execution.with_status(advance(execution.status, Change(Reason.CANCELLED), generation=1, now=created))


def sweeper(store: DirectoryStore, data: DataDir, *live: NotebookExecution, days: int = 0) -> Sweeper:
    async def living() -> list[NotebookExecution]:
        return list(live)

    return Sweeper(store, data, live=living, retention_days=days, clock=lambda: NOW)


async def test_records_go_after_retention_days_with_all_their_objects(store: DirectoryStore, data: DataDir) -> None:
    records = RecordStore(store)
    old, young = ended("old", NOW - 8 * DAY), ended("young", NOW - 6 * DAY)
    for item in (old, young):
        store.put(f"executions/{item.uid}/attempts/a/log.txt", b"text")
        records.close(item, None)
    assert await sweeper(store, data).sweep() == 0
    assert await sweeper(store, data, days=7).sweep() == 1
    assert records.read("old") is None
    assert store.list("executions/old/") == []
    assert records.read("young") is not None
    assert [key.rpartition("/")[2].split("-")[1] for key in store.list("index/all/")] == ["young"]


async def test_idempotency_keys_go_a_day_after_the_end_and_never_before(store: DirectoryStore, data: DataDir) -> None:
    over, recent, living = ended("over", NOW - 3 * DAY), ended("recent", NOW - DAY / 2), alive("living", NOW - 9 * DAY)
    for item in (over, recent):
        RecordStore(store).close(item, None)
    for item in (over, recent, living):
        store.put(f"idempotency/{item.uid}", Entry("0" * 64, item.name, item.created).to_json())
    await sweeper(store, data, living).sweep()
    assert store.list("idempotency/") == ["idempotency/living", "idempotency/recent"]


async def test_forgotten_attempts_and_working_directories_go(store: DirectoryStore, data: DataDir) -> None:
    living = alive("living", NOW)
    for uid in ("living", "forgotten", "fresh"):
        store.put(f"executions/{uid}/attempts/a/log.txt", b"text")
        (data.work / uid / "attempt").mkdir(parents=True)
    for uid, age in (("living", 5 * DAY), ("forgotten", 5 * DAY), ("fresh", DAY / 24)):
        moment = (NOW - age).timestamp()
        for folder in (data.store / "executions" / uid, data.store / "executions" / uid / "attempts"):
            os.utime(folder, (moment, moment))
    await sweeper(store, data, living).sweep()
    assert store.list("executions/") == ["executions/fresh/attempts/a/log.txt", "executions/living/attempts/a/log.txt"]
    assert [path.name for path in data.work.iterdir()] == ["living"]


async def test_results_of_an_execution_whose_document_is_damaged_stay(store: DirectoryStore, data: DataDir) -> None:
    store.put("executions/unknown/attempts/a/log.txt", b"text")
    for folder in (data.store / "executions/unknown", data.store / "executions/unknown/attempts"):
        os.utime(folder, (0, 0))
    (data.live / "double-x.damaged").write_bytes(b"{")
    await sweeper(store, data).sweep()
    assert store.list("executions/unknown/") == ["executions/unknown/attempts/a/log.txt"]


async def test_inputs_stay_while_an_execution_names_them(store: DirectoryStore, data: DataDir) -> None:
    digests = {name: name[0] * 64 for name in ("alive", "ended", "forgotten")}
    for digest in digests.values():
        store.put(f"inputs/{digest}", b"1,2")
        os.utime(data.store / f"inputs/{digest}", (0, 0))

    def naming(execution: NotebookExecution) -> NotebookExecution:
        file = InputFile(name="a.csv", sha256=digests[execution.uid], size=3)
        return execution.model_copy(update={"spec": execution.spec.model_copy(update={"inputs": [file]})})

    RecordStore(store).close(naming(ended("ended", NOW - DAY)), None)
    made = sweeper(store, data, naming(alive("alive", NOW)))
    (data.live / "double-x.damaged").write_bytes(b"{")
    assert [await made.sweep() for _ in range(2)] == [0, 0]
    (data.live / "double-x.damaged").unlink()
    assert [await made.sweep() for _ in range(3)] == [0, 1, 0]
    assert store.list("inputs/") == sorted(f"inputs/{digests[name]}" for name in ("alive", "ended"))
