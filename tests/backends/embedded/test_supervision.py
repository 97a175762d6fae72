"""What becomes of executions that do not simply succeed, by the real runner and real processes."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.backends.embedded.conftest import StartBackend
from tests.backends.embedded.samples import new_execution, publish, settle

from podbook_api.backends.base import BackendUnavailableError, QueueFullError
from podbook_api.backends.embedded.data_dir import DataDir
from podbook_api.backends.embedded.supervisor import StopReport
from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution
from podbook_core.execution.profiles import parse_profiles
from podbook_core.execution.reasons import Phase, Reason
from podbook_core.results.record import Record, RecordStore
from podbook_core.store.directory import DirectoryStore


def processes_of(uid: str) -> list[int]:
    """Processes that carry an execution's uid in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"PODBOOK_UID={uid}".encode() in environment:
                found.append(int(folder.name))
    return found


def record_of(store: DirectoryStore, execution: NotebookExecution) -> Record:
    record = RecordStore(store).read(execution.uid)
    assert record is not None
    return record


async def test_success_is_recorded_with_its_output_and_leaves_nothing_behind(
    start_backend: StartBackend, store: DirectoryStore, data: DataDir
) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution("double", parameters={"x": 21}))
    assert created.status.reason is Reason.QUEUED
    assert created.status.resolved is not None

    ended = await settle(backend, created.name)

    assert ended.status.reason is Reason.SUCCEEDED, ended.status.message
    assert ended.status.attempts == 1
    record = record_of(store, created)
    assert record.execution.spec.parameters == {"x": 21}  # which a watch leaves out
    assert record.execution.without_parameters() == ended
    output = record.find("output.json")
    assert output is not None
    assert json.loads(store.get(output.key, if_match=output.etag, limit=2**30).data) == {"twice": 42}
    assert list(data.live.iterdir()) == []
    assert list(data.work.iterdir()) == []


async def test_a_raising_cell_ends_without_another_attempt(start_backend: StartBackend, store: DirectoryStore) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution("raising", retries=3))
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.CELL_FAILED
    assert ended.status.attempts == 1
    assert ended.status.error is not None
    assert (ended.status.error.ename, ended.status.error.evalue) == ("ValueError", "no such customer")
    assert record_of(store, created).find("notebook.ipynb") is not None


async def test_a_notebook_that_kills_its_runner_is_to_blame_and_leaves_no_process(
    start_backend: StartBackend, store: DirectoryStore
) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution("killer"))
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.KERNEL_DIED
    assert "SIGKILL" in ended.status.message
    assert processes_of(created.uid) == []
    record = record_of(store, created)
    assert record.execution.status.reason is Reason.KERNEL_DIED
    log = record.find("log.txt")
    assert log is not None
    assert b"SIGKILL" in store.get(log.key, if_match=log.etag, limit=2**30).data


async def test_a_crashed_runner_is_tried_again_within_retries(
    start_backend: StartBackend, store: DirectoryStore, tmp_path: Path
) -> None:
    backend = await start_backend()
    wanted = new_execution("twice", retries=1, parameters={"marker": str(tmp_path / "marker")})
    created = await backend.create(wanted)
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.SUCCEEDED, ended.status.message
    assert ended.status.attempts == 2
    output = record_of(store, created).find("output.json")
    assert output is not None
    assert json.loads(store.get(output.key, limit=2**30).data) == {"attempt": 2}


def without_permission(folder: Path) -> str:
    """A program that nobody may execute."""
    program = folder / "python"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o600)
    return str(program)


async def test_a_runner_that_cannot_be_started_is_tried_again(
    start_backend: StartBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await start_backend()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", without_permission(tmp_path))
        created = await backend.create(new_execution("double"))
        async with backend.watch(created.name) as states:
            async for state in states:
                if "the runner could not be started: Permission denied" in state.status.message:
                    break
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.SUCCEEDED


async def test_a_runner_that_can_never_be_started_ends_with_the_cause(
    start_backend: StartBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podbook_api.backends.embedded.lifecycle.ATTEMPTS_LIMIT", 2)
    monkeypatch.setattr(sys, "executable", without_permission(tmp_path))
    backend = await start_backend()
    created = await backend.create(new_execution("double"))
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.CONFIGURATION_ERROR
    assert ended.status.message == "the runner could not be started: Permission denied"
    assert ended.status.attempts == 2


async def test_cancel_keeps_the_partial_notebook_of_a_running_execution(start_backend: StartBackend, store: DirectoryStore) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution("sleeper"))
    async with backend.watch(created.name) as states:
        async for state in states:
            progress = state.status.progress
            if progress is not None and progress.completed >= 2:
                break
    await backend.cancel(created.name)
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.CANCELLED
    assert ended.status.phase is Phase.CANCELLED
    notebook = record_of(store, created).find("notebook.ipynb")
    assert notebook is not None
    assert b"asleep" in store.get(notebook.key, limit=2**30).data
    assert processes_of(created.uid) == []


async def test_cancel_kills_a_runner_that_cannot_react_with_all_it_has_started(start_backend: StartBackend) -> None:
    backend = await start_backend(grace_seconds=0.5)
    created = await backend.create(new_execution("frozen"))
    async with backend.watch(created.name) as states:
        async for state in states:
            if state.status.phase is Phase.RUNNING:
                break
    await backend.cancel(created.name)
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.CANCELLED
    assert processes_of(created.uid) == []


async def test_cancel_ends_a_waiting_execution_at_once(start_backend: StartBackend, store: DirectoryStore) -> None:
    backend = await start_backend(max_concurrent=1)
    running = await backend.create(new_execution("sleeper"))
    waiting = await backend.create(new_execution("sleeper"))
    cancelled = await backend.cancel(waiting.name)
    assert cancelled is not None
    assert cancelled.status.reason is Reason.CANCELLED
    assert cancelled.status.attempts == 0
    assert record_of(store, waiting).attempt is None
    other = await backend.get(running.name)
    assert other is not None
    assert not other.status.terminal
    await backend.cancel(running.name)


async def test_only_so_many_run_and_only_so_many_wait(start_backend: StartBackend) -> None:
    backend = await start_backend(max_concurrent=1, max_queued=1)
    running = await backend.create(new_execution("sleeper"))
    waiting = await backend.create(new_execution("sleeper"))
    with pytest.raises(QueueFullError) as refused:
        await backend.create(new_execution("sleeper"))
    assert refused.value.limit == 1
    assert refused.value.retry_after >= 1
    assert {item.name for item in await backend.live()} == {running.name, waiting.name}
    async with backend.watch(running.name) as states:
        async for state in states:
            if state.status.phase is Phase.RUNNING:
                break
    still = await backend.get(waiting.name)
    assert still is not None
    assert still.status.reason is Reason.QUEUED
    await backend.cancel(waiting.name)
    await backend.create(new_execution("sleeper", submitted_by="another"))
    for item in await backend.live():
        await backend.cancel(item.name)


async def test_waiting_too_long_is_queue_timed_out(start_backend: StartBackend) -> None:
    backend = await start_backend(max_concurrent=1)
    running = await backend.create(new_execution("sleeper"))
    waiting = await backend.create(new_execution("double", queue_timeout_seconds=1))
    ended = await settle(backend, waiting.name)
    assert ended.status.reason is Reason.QUEUE_TIMED_OUT
    assert ended.status.attempts == 0
    await backend.cancel(running.name)


async def test_the_version_fixed_at_creation_runs_whatever_is_published_later(
    start_backend: StartBackend, store: DirectoryStore
) -> None:
    backend = await start_backend(max_concurrent=1)
    running = await backend.create(new_execution("sleeper"))
    waiting = await backend.create(new_execution("double", parameters={"x": 4}))
    publish(store, "double", ["raise RuntimeError('newer')"])
    await backend.cancel(running.name)
    ended = await settle(backend, waiting.name)
    assert ended.status.reason is Reason.SUCCEEDED, ended.status.message


async def test_an_unknown_notebook_ends_as_not_found(start_backend: StartBackend) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution("nowhere"))
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.NOTEBOOK_NOT_FOUND


async def test_a_profile_limits_memory(start_backend: StartBackend, store: DirectoryStore) -> None:
    publish(store, "greedy", ["blocks = []", "while True: blocks.append(bytearray(16 * 1024 * 1024))"])
    backend = await start_backend(profiles=parse_profiles({"small": {"memoryLimitBytes": 250 * 1024 * 1024}}))
    created = await backend.create(new_execution("greedy", profile="small", timeout_seconds=60))
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.OUT_OF_MEMORY, ended.status.message


async def test_a_stop_leaves_executions_that_the_next_start_finishes(
    start_backend: StartBackend, store: DirectoryStore, data: DataDir
) -> None:
    reports: list[StopReport] = []
    first = await start_backend(max_concurrent=1, on_stop=reports.append)
    running = await first.create(new_execution("sleeper", parameters={"seconds": 3}))
    waiting = await first.create(new_execution("double"))
    async with first.watch(running.name) as states:
        async for state in states:
            if state.status.phase is Phase.RUNNING:
                break
    await first.stop()
    assert reports == [StopReport(running=1, waiting=1, left_alive=0)]
    with pytest.raises(BackendUnavailableError):
        await first.create(new_execution("double"))
    assert len(list(data.live.glob("*.json"))) == 2
    assert processes_of(running.uid) == []

    second = await start_backend()
    ends = [await settle(second, item.name) for item in (running, waiting)]
    assert [end.status.reason for end in ends] == [Reason.SUCCEEDED, Reason.SUCCEEDED]
    assert [end.status.attempts for end in ends] == [2, 1]
    outcomes = [
        AttemptManifest.from_json(store.get(key, limit=2**30).data).outcome
        for key in store.list(f"executions/{running.uid}/attempts/")
        if key.endswith("/result.json")
    ]
    assert sorted(outcomes) == ["Interrupted", "Succeeded"]


async def test_a_directory_that_cannot_be_written_refuses_what_is_new_and_recovers(
    start_backend: StartBackend, data: DataDir
) -> None:
    backend = await start_backend()
    away = data.live.with_name("away")
    data.live.rename(away)
    with pytest.raises(BackendUnavailableError, match="cannot write"):
        await backend.create(new_execution("double"))
    with pytest.raises(BackendUnavailableError):
        await backend.check()
    assert await backend.live() == []
    away.rename(data.live)
    await backend.check()
    created = await backend.create(new_execution("double"))
    assert (await settle(backend, created.name)).status.reason is Reason.SUCCEEDED


async def test_a_store_that_is_away_for_a_moment_delays_an_end_and_loses_nothing(
    start_backend: StartBackend, store: DirectoryStore, data: DataDir
) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution("sleeper", parameters={"seconds": 1}))
    async with backend.watch(created.name) as states:
        async for state in states:
            if state.status.phase is Phase.RUNNING:
                break
        # A file where a folder is needed: the record's index cannot be written, whoever tries.
        index = data.store / "index"
        index.write_text("in the way")
        async for state in states:
            if "retrying" in state.status.message:
                assert not state.status.terminal
                break
    index.unlink()
    ended = await settle(backend, created.name)
    assert ended.status.reason is Reason.SUCCEEDED
    assert len(store.list("index/all/")) == 1


async def test_a_damaged_document_is_put_aside_and_the_others_run(start_backend: StartBackend, data: DataDir) -> None:
    document = data.live / "double-abc.json"
    document.write_bytes(b'{"apiVersion": "podbook.dev/v1alpha1", "spec"')
    (data.live / "double-def.tmp").write_bytes(b"never finished")
    backend = await start_backend()
    assert await backend.live() == []
    assert [path.name for path in data.live.iterdir()] == ["double-abc.damaged"]
    created = await backend.create(new_execution("double"))
    assert (await settle(backend, created.name)).status.reason is Reason.SUCCEEDED


async def test_a_caller_that_goes_away_leaves_nothing_half_done(start_backend: StartBackend, data: DataDir) -> None:
    backend = await start_backend(max_concurrent=1)
    wanted = new_execution("sleeper")
    asking = asyncio.create_task(backend.create(wanted))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    while await backend.get(wanted.name) is None:  # noqa: ASYNC110 - the backend tells nobody who has not asked
        await asyncio.sleep(0.01)
    assert (data.live / f"{wanted.name}.json").exists()
    cancelling = asyncio.create_task(backend.cancel(wanted.name))
    await asyncio.sleep(0)
    cancelling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelling
    assert (await settle(backend, wanted.name)).status.reason is Reason.CANCELLED


async def test_times_are_whole_milliseconds_in_memory_and_on_disk(start_backend: StartBackend, data: DataDir) -> None:
    moment = datetime(2030, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    backend = await start_backend(clock=lambda: moment, max_concurrent=1)
    created = await backend.create(new_execution("sleeper"))
    written = NotebookExecution.model_validate_json((data.live / f"{created.name}.json").read_bytes())
    assert written.created == created.created == moment.replace(microsecond=678_000)
    await backend.cancel(created.name)
