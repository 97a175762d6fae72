"""Whatever the operator was doing when it died: the next one brings every execution to the same end, with one Job and one record."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podbook_core.execution.reasons import Reason
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.results.record import Record, RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore

from .documents import NOW
from .simulation import CrashError, Life, World, moment_after

Step = Callable[[World], None]


@pytest.fixture(scope="module")
def validator() -> Iterator[ContractValidator]:
    with ContractValidator() as shared:
        yield shared


def new_world(folder: Path) -> World:
    world = World(folder)
    VersionStore(DirectoryStore(folder)).publish(build_bundle("analysis", b"{}", Contract(), []), now=NOW)
    return world


def pod(world: World) -> dict[str, Any]:
    return list(world.pods.values())[-1]


def start(world: World) -> None:
    world.start_pod(pod(world))


def succeed(world: World) -> None:
    world.end_pod(pod(world), 0, "Succeeded")


def fail(world: World) -> None:
    world.end_pod(pod(world), 10, "CellFailed")


def storage_failed(world: World) -> None:
    world.end_pod(pod(world), 20, None)


def cancel(world: World) -> None:
    world.change_spec("one", cancel=True)


def interrupted(world: World) -> None:
    world.end_pod(pod(world), 30, "Interrupted")


def told_to_go(world: World) -> None:
    world.delete_pod(pod(world)["metadata"]["name"])


def exit_well_although_told_to_go(world: World) -> None:
    world.end_pod(pod(world), 0, "Succeeded", phase=False)


def interrupted_and_succeeded_elsewhere(world: World) -> None:
    """Between two looks of the operator."""
    interrupted(world)
    world.run_controllers()
    start(world)
    succeed(world)


def vanish(world: World) -> None:
    world.pods.clear()


def five_minutes(world: World) -> None:
    moment_after(world, 300)


def image_missing(world: World) -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod(world)["status"] = {"phase": "Pending", "containerStatuses": [{"name": "runner", "state": state}]}


def job_deleted(world: World) -> None:
    world.jobs.clear()
    world.pods.clear()


def ten_minutes(world: World) -> None:
    world.run_controllers()
    moment_after(world, 600)


SCENARIOS: dict[str, tuple[list[Step], Reason, int]] = {
    "success": ([start, succeed], Reason.SUCCEEDED, 1),
    "failure": ([start, fail], Reason.CELL_FAILED, 1),
    "retried": ([start, storage_failed, start, succeed], Reason.SUCCEEDED, 2),
    "cancelled": ([start, cancel, interrupted], Reason.CANCELLED, 1),
    "cancelled too late": ([start, cancel, succeed], Reason.SUCCEEDED, 1),
    "drained": ([start, told_to_go, interrupted, start, succeed], Reason.SUCCEEDED, 2),
    "drained, the rest unseen": ([start, told_to_go, interrupted_and_succeeded_elsewhere], Reason.SUCCEEDED, 2),
    "drained and well": ([start, told_to_go, exit_well_although_told_to_go], Reason.SUCCEEDED, 1),
    "image": ([image_missing, five_minutes], Reason.IMAGE_PULL_FAILED, 1),
    "job deleted": ([start, job_deleted], Reason.JOB_LOST, 1),
    "no pod": ([ten_minutes], Reason.POD_REJECTED, 0),
}


def play(world: World, folder: Path, validator: ContractValidator, steps: list[Step]) -> int:
    """Play a scenario to its end, beginning a new life after each crash. Returns how many crashes there were."""
    crashes = 0
    life = Life(world, folder, validator)

    def work() -> None:
        nonlocal life, crashes
        for _ in range(3):
            try:
                asyncio.run(life.work())
            except CrashError:
                crashes += 1
                world.fuse.blow_at = None
                life.end()
                life = Life(world, folder, validator)

    work()
    for step in steps:
        world.run_controllers()
        work()
        moment_after(world, 1)
        if world.pods:
            step(world)
        else:
            # Controllers may need another round before the pod that the step is about exists.
            world.run_controllers()
            work()
            step(world)
        work()
    for _ in range(4):
        moment_after(world, 1)
        world.run_controllers()
        work()
    life.end()
    return crashes


def end(world: World) -> tuple[dict[str, Any], Record]:
    body = world.executions["one"]
    record = RecordStore(world.store).read(body["metadata"]["uid"])
    assert record is not None
    return body["status"], record


def summary(world: World) -> tuple[Any, ...]:
    status, record = end(world)
    conditions = {item["type"]: item["status"] for item in status["conditions"]}
    return (status["reason"], status.get("results"), conditions, record.execution.status.reason, record.attempt)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_a_crash_at_any_write_changes_nothing_about_the_end(
    tmp_path: Path, validator: ContractValidator, name: str, after: bool
) -> None:
    steps, reason, attempts = SCENARIOS[name]

    def begun(folder: Path) -> World:
        world = new_world(folder)
        world.quota = "exceeded quota" if name == "no pod" else ""
        world.create_execution("one", retries=1)
        return world

    calm = begun(tmp_path / "calm")
    assert play(calm, tmp_path / "calm", validator, steps) == 0
    status, _ = end(calm)
    assert (status["reason"], status["attempts"]) == (reason, attempts)
    assert status["results"]["record"]
    writes = list(calm.fuse.writes)
    assert len(writes) >= 8
    for number in range(1, len(writes) + 1):
        folder = tmp_path / str(number)
        world = begun(folder)
        world.fuse.blow_at, world.fuse.after = number, after
        assert play(world, folder, validator, steps) == 1, f"write {number} ({writes[number - 1]}) never happened"
        assert summary(world) == summary(calm), f"crash at write {number}: {writes[number - 1]}"
        assert len(world.jobs_created) == 1
        assert world.pods_created == calm.pods_created
        assert world.secrets == {}, f"a crash at write {number} ({writes[number - 1]}) leaves access behind"


def test_an_unreachable_store_defers_the_end_and_loses_nothing(tmp_path: Path, validator: ContractValidator) -> None:
    world = new_world(tmp_path)
    world.create_execution("one")
    life = Life(world, tmp_path, validator)

    async def story() -> None:
        await life.work()
        world.run_controllers()
        start(world)
        await life.work()
        succeed(world)
        world.store_away = True
        with pytest.raises(StoreUnavailableError):
            await life.work()
        assert world.executions["one"]["status"]["phase"] == "Running"
        world.store_away = False
        await life.work()

    asyncio.run(story())
    life.end()
    status, record = end(world)
    assert status["reason"] == Reason.SUCCEEDED
    assert record.find("notebook.ipynb") is not None


def test_an_end_without_results_is_told_while_the_store_is_away_and_recorded_later(
    tmp_path: Path, validator: ContractValidator
) -> None:
    world = new_world(tmp_path)
    world.create_execution("one")
    life = Life(world, tmp_path, validator)

    async def story() -> None:
        await life.work()
        world.run_controllers()
        image_missing(world)
        await life.work()
        moment_after(world, 300)
        world.store_away = True
        with pytest.raises(StoreUnavailableError):
            await life.work()
        status = world.executions["one"]["status"]
        assert status["reason"] == Reason.IMAGE_PULL_FAILED
        assert {item["type"]: item["status"] for item in status["conditions"]}["ResultsStored"] == "False"
        world.store_away = False
        await life.work()

    asyncio.run(story())
    life.end()
    status, record = end(world)
    assert {item["type"]: item["status"] for item in status["conditions"]}["ResultsStored"] == "True"
    assert record.execution.status.reason is Reason.IMAGE_PULL_FAILED


def test_no_more_run_at_a_time_than_may(tmp_path: Path, validator: ContractValidator) -> None:
    world = new_world(tmp_path)
    for number in range(6):
        world.create_execution(f"run-{number}")
    life = Life(world, tmp_path, validator, limit=2)

    async def story() -> list[int]:
        seen = []
        for _ in range(12):
            await life.work()
            world.run_controllers()
            for item in list(world.pods.values()):
                if "containerStatuses" not in item["status"]:
                    world.start_pod(item)
                elif "running" in item["status"]["containerStatuses"][0]["state"]:
                    world.end_pod(item, 0, "Succeeded")
            active = [body for body in world.executions.values() if body["status"]["phase"] in ("Pending", "Running")]
            seen.append(len([body for body in active if body["status"].get("jobName")]))
        return seen

    seen = asyncio.run(story())
    life.end()
    assert max(seen) == 2
    assert len(world.jobs_created) == 6
    assert {body["status"]["reason"] for body in world.executions.values()} == {"Succeeded"}


def test_changed_parameters_never_run(tmp_path: Path, validator: ContractValidator) -> None:
    world = new_world(tmp_path)
    world.create_execution("one")
    life = Life(world, tmp_path, validator, limit=1)

    async def story() -> None:
        life.watch()
        await life.reconciler.visit("one")
        # The API server's own rule has a hole where both values are free-form objects.
        world.change_spec("one", parameters={"b": 2})
        await life.work()

    asyncio.run(story())
    life.end()
    assert world.jobs_created == []
    assert end(world)[0]["reason"] == Reason.INVALID_PARAMETERS


def test_a_job_of_that_name_that_belongs_to_another_is_never_taken(tmp_path: Path, validator: ContractValidator) -> None:
    world = new_world(tmp_path)
    world.create_execution("one")
    life = Life(world, tmp_path, validator)

    async def story() -> None:
        stranger = {"metadata": {"name": "x", "ownerReferences": [{"uid": "stranger", "controller": True}]}, "spec": {}}
        from podbook_core.text.names import job_name

        stranger["metadata"]["name"] = job_name("uid-one")
        await world.create_job(stranger)
        await life.work()

    asyncio.run(story())
    life.end()
    assert end(world)[0]["reason"] == Reason.CONFIGURATION_ERROR
    assert world.pods_created == 0


def test_secrets_are_removed_at_the_end(tmp_path: Path, validator: ContractValidator) -> None:
    world = new_world(tmp_path)
    world.create_execution("one")
    play(world, tmp_path, validator, [start, succeed])
    assert world.secrets == {}


def test_a_document_that_is_not_understood_is_answered(tmp_path: Path, validator: ContractValidator) -> None:
    world = new_world(tmp_path)
    world.create_execution("one", timeoutSeconds="soon", surprise=1)
    life = Life(world, tmp_path, validator)
    asyncio.run(life.work())
    life.end()
    status = world.executions["one"]["status"]
    assert status["reason"] == Reason.CONFIGURATION_ERROR
    assert "timeoutSeconds" in status["message"]
    assert {item["type"]: item["status"] for item in status["conditions"]}["Finished"] == "True"
