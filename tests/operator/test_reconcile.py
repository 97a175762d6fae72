"""What comes of an execution in a small simulated world, where things are not as they should be."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podbook_cluster.errors import ClusterUnavailableError, error_from_answer
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import VersionStore, build_bundle
from podbook_core.results.record import Record, RecordStore
from podbook_core.schema.validation import ContractValidator
from podbook_core.store.base import StoreUnavailableError
from podbook_core.store.directory import DirectoryStore

from .documents import NOW, POLICY
from .simulation import CrashError, Life, World, moment_after

DEEP: dict[str, Any] = {"x": 1}
for _ in range(150):
    DEEP = {"x": DEEP}


@pytest.fixture(scope="module")
def validator() -> Iterator[ContractValidator]:
    with ContractValidator() as shared:
        yield shared


@pytest.fixture
def world(tmp_path: Path) -> World:
    VersionStore(DirectoryStore(tmp_path)).publish(build_bundle("analysis", b"{}", Contract(), []), now=NOW)
    return World(tmp_path)


@pytest.fixture
def life(world: World, tmp_path: Path, validator: ContractValidator) -> Iterator[Life]:
    made = Life(world, tmp_path, validator)
    yield made
    made.end()


def work(life: Life) -> None:
    asyncio.run(life.work())


def go_on(life: Life, seconds: float = 0) -> None:
    """Time passes, the controllers act, the operator sees it."""
    moment_after(life.world, seconds)
    life.world.run_controllers()
    work(life)


def newest_pod(world: World) -> dict[str, Any]:
    return list(world.pods.values())[-1]


def status_of(world: World, name: str = "one") -> dict[str, Any]:
    found: dict[str, Any] = world.executions[name]["status"]
    return found


def stored(world: World, name: str = "one") -> Record:
    record = RecordStore(world.store).read_by_name(name)
    assert record is not None
    return record


def refused(message: str) -> Any:
    return error_from_answer(403, f'{{"message": "{message}"}}'.encode())


def sample(life: Life, name: str, **labels: str) -> float:
    return life.metrics.registry.get_sample_value(f"podbook_operator_{name}", labels) or 0.0


# --- an API server that has just started


@pytest.mark.parametrize(("write", "message"), [("secret", "secrets is forbidden"), ("job", "jobs.batch is forbidden")])
def test_an_api_server_that_has_not_read_the_rights_yet_ends_no_run(world: World, life: Life, write: str, message: str) -> None:
    world.create_execution("one")
    world.fuse.refusals[write] = [refused(f'{message}: User \\"operator\\" cannot create resource')]
    with pytest.raises(ClusterUnavailableError):
        work(life)
    assert status_of(world)["reason"] == "Queued"
    work(life)
    assert len(world.jobs_created) == 1


def test_what_a_quota_refuses_is_told_and_leaves_no_access(world: World, life: Life) -> None:
    world.create_execution("one")
    world.fuse.refusals["job"] = [refused('jobs.batch \\"nbx\\" is forbidden: exceeded quota: few')]
    work(life)
    assert (status_of(world)["reason"], world.secrets) == ("PodRejected", {})
    assert "exceeded quota: few" in status_of(world)["message"]


# --- access


def test_no_access_is_left_when_a_run_is_cancelled_between_its_secret_and_its_job(
    world: World, life: Life, tmp_path: Path, validator: ContractValidator
) -> None:
    world.create_execution("one")
    world.fuse.blow_at = 3
    with pytest.raises(CrashError):
        work(life)
    assert world.fuse.writes[-1] == "job"
    assert world.secrets
    world.fuse.blow_at = None
    world.change_spec("one", cancel=True)
    second = Life(world, tmp_path, validator)
    work(second)
    second.end()
    assert (status_of(world)["reason"], world.jobs, world.secrets) == ("Cancelled", {}, {})


def test_an_end_is_told_even_where_a_policy_keeps_secrets_from_being_deleted(world: World, life: Life) -> None:
    world.create_execution("one")
    work(life)
    go_on(life)
    world.start_pod(newest_pod(world))
    world.end_pod(newest_pod(world), 0, "Succeeded")
    world.fuse.refusals["delete secret"] = [refused("admission webhook denied the request")]
    work(life)
    assert status_of(world)["reason"] == "Succeeded"


def test_what_was_never_accepted_costs_no_request_for_a_secret(world: World, life: Life) -> None:
    world.create_execution("one", notebook={"name": "nowhere"})
    work(life)
    assert status_of(world)["reason"] == "NotebookNotFound"
    assert "delete secret" not in world.fuse.writes


# --- while the store is away


def test_a_run_that_was_given_up_never_starts_while_the_store_is_away(world: World, life: Life) -> None:
    world.create_execution("one", startTimeoutSeconds=30)
    work(life)
    go_on(life)
    world.store_away = True
    moment_after(world, 30)
    with pytest.raises(StoreUnavailableError):
        work(life)
    assert status_of(world)["reason"] == "StartTimedOut"
    with pytest.raises(StoreUnavailableError):
        go_on(life)
    world.run_controllers()
    assert (world.jobs, world.pods) == ({}, {})
    world.store_away = False
    go_on(life)
    assert stored(world).execution.status.reason == "StartTimedOut"
    assert world.secrets == {}


# --- why there is no pod


def test_a_quota_that_is_used_up_after_the_first_question_is_named(world: World, life: Life) -> None:
    world.create_execution("one", startTimeoutSeconds=120)
    work(life)
    world.quota = "a webhook is slow"
    world.jobs[world.jobs_created[0]]["status"]["startTime"] = status_of(world)["queuedTime"]
    moment_after(world, 6)
    work(life)
    assert status_of(world)["message"] == "its Job is waiting for its pod"
    world.quota = "exceeded quota"
    go_on(life, 60)
    assert "exceeded quota" in status_of(world)["message"]
    go_on(life, 60)
    assert status_of(world)["reason"] == "PodRejected"
    assert "exceeded quota" in status_of(world)["message"]


def test_the_next_attempt_is_not_explained_by_what_kept_the_first_one(world: World, life: Life) -> None:
    world.create_execution("one", retries=1)
    work(life)
    world.quota = "exceeded quota"
    go_on(life)
    go_on(life, 6)
    assert "exceeded quota" in status_of(world)["message"]
    world.quota = ""
    go_on(life, 60)
    world.start_pod(newest_pod(world))
    work(life)
    moment_after(world, 60)
    world.end_pod(newest_pod(world), 20, None)
    work(life)
    for _ in range(2):
        assert status_of(world)["reason"] == "Scheduled"
        assert status_of(world)["message"].startswith("another attempt follows")
        moment_after(world, 10)
        work(life)


# --- metrics


def test_the_lag_of_a_run_that_was_repeated_is_that_of_its_last_attempt(world: World, life: Life) -> None:
    world.create_execution("one", retries=1)
    work(life)
    go_on(life)
    world.start_pod(newest_pod(world))
    world.end_pod(newest_pod(world), 20, None)
    work(life)
    life.facts.ended["uid-one"] -= 1000  # it was long ago
    go_on(life)
    world.start_pod(newest_pod(world))
    work(life)
    world.end_pod(newest_pod(world), 0, "Succeeded")
    work(life)
    assert status_of(world)["reason"] == "Succeeded"
    assert sample(life, "status_lag_seconds_count") == 1
    assert sample(life, "status_lag_seconds_sum") < 900
    assert sample(life, "attempts_repeated_total") == 1


# --- documents that are not understood


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"parameters": DEEP}, "InvalidParameters"),
        ({"parameters": {"large": "x" * 5000, "deep": DEEP}}, "InvalidParameters"),
        ({"timeoutSeconds": "soon", "surprise": 1, "parameters": {"x": 1}}, "ConfigurationError"),
    ],
    ids=["deep", "deep and too large to be kept", "fields of another version"],
)
def test_a_malformed_execution_ends_like_any_other(world: World, life: Life, spec: dict[str, Any], reason: str) -> None:
    world.create_execution("one", **spec)
    work(life)
    status = status_of(world)
    assert (status["reason"], status["phase"], status["results"].keys()) == (reason, "Failed", {"record"})
    assert {item["type"]: item["status"] for item in status["conditions"]}["Finished"] == "True"
    record = stored(world)
    assert record.execution.status.reason == reason
    assert record.execution.spec.parameters == ({"x": 1} if reason == "ConfigurationError" else {})
    assert sample(life, "executions_finished_total", reason=reason) == 1
    asyncio.run(_send_events(life))
    assert [event["reason"] for event in world.events] == [reason]
    go_on(life, POLICY.ttl_failed)
    assert world.executions == {}
    assert stored(world).execution.name == "one"


@pytest.mark.parametrize("seen", [True, False], ids=["seen running", "seen only when it had ended"])
def test_people_read_of_the_start_and_of_the_end_once_each(world: World, life: Life, *, seen: bool) -> None:
    world.create_execution("one")
    work(life)
    go_on(life)
    world.start_pod(newest_pod(world))
    if seen:
        go_on(life, 1)
    world.end_pod(newest_pod(world), 0, "Succeeded")
    go_on(life, 1)
    assert status_of(world)["reason"] == "Succeeded"
    asyncio.run(_send_events(life))
    told = sorted(world.events, key=lambda event: str(event["firstTimestamp"]))
    assert [(event["reason"], event["type"]) for event in told] == [
        ("Queued", "Normal"),
        ("Running", "Normal"),
        ("Succeeded", "Normal"),
    ]
    assert len({event["metadata"]["name"] for event in told}) == 3
    assert "Succeeded" not in told[1]["message"]


async def _send_events(life: Life) -> None:
    sending = asyncio.create_task(life.events.run())
    await asyncio.sleep(0)
    sending.cancel()


def test_a_document_whose_notebook_is_not_understood_is_answered(world: World, life: Life) -> None:
    world.create_execution("one", notebook={"title": "?"})
    work(life)
    assert status_of(world)["reason"] == "ConfigurationError"
    assert "spec.notebook.name" in status_of(world)["message"]


def test_an_answer_that_could_not_be_given_is_given_later(world: World, life: Life) -> None:
    world.create_execution("one", parameters=DEEP)
    world.create_execution("two", notebook={"title": "?"})
    for name in ("one", "two"):
        world.fuse.refusals["status"] = [refused('nbx is forbidden: User \\"operator\\" cannot patch resource')]
        life.watch()
        with pytest.raises(ClusterUnavailableError):
            asyncio.run(life.reconciler.visit(name))
    work(life)
    assert (status_of(world)["reason"], status_of(world, "two")["reason"]) == ("InvalidParameters", "ConfigurationError")


# --- a resource that is gone


def test_an_execution_that_was_deleted_while_it_ran_leaves_no_record(world: World, life: Life) -> None:
    """Its Job goes with it, and that may be seen first."""
    world.create_execution("one")
    work(life)
    go_on(life)
    world.start_pod(newest_pod(world))
    work(life)
    gone = world.executions.pop("one")
    world.jobs.clear()
    world.pods.clear()
    life.facts.jobs.clear()
    life.facts.pods.clear()
    asyncio.run(life.reconciler.visit("one"))
    assert life.facts.entries == {}
    assert RecordStore(world.store).read(gone["metadata"]["uid"]) is None


# --- what is stored is damaged, or newer than this operator


def manifest_key(world: World) -> str:
    [key] = [key for key in world.store.list("notebooks/analysis/versions/") if key.endswith("/manifest.json")]
    return key


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"[]", "it is damaged"), (b'{"requires": ["cells"]}', "needs a newer Podbook: cells")],
    ids=["damaged", "newer"],
)
def test_a_version_that_cannot_be_read_any_more_ends_its_run_before_it_starts(
    world: World, tmp_path: Path, validator: ContractValidator, data: bytes, why: str
) -> None:
    life = Life(world, tmp_path, validator, limit=1)
    world.create_execution("one")
    world.create_execution("two")
    life.watch()
    for name in ("one", "two"):
        asyncio.run(life.reconciler.visit(name))  # both are accepted
    whole = world.store.get(manifest_key(world), limit=2**30).data
    world.store.put(manifest_key(world), data)
    life.end()
    # Another life of the operator, which has not read the version before.
    life = Life(world, tmp_path, validator, limit=1)
    work(life)
    assert status_of(world)["reason"] == "InvalidNotebook"
    assert manifest_key(world) in status_of(world)["message"]
    assert why in status_of(world)["message"]
    assert stored(world).execution.status.reason == "InvalidNotebook"
    world.store.put(manifest_key(world), whole)
    work(life)
    assert len(world.jobs_created) == 1, "the place was given to the next one"
    life.end()


def test_a_version_that_cannot_be_read_is_not_accepted(world: World, life: Life) -> None:
    world.store.put("notebooks/analysis/current.json", b"\xff\x00{")
    world.create_execution("one")
    work(life)
    assert status_of(world)["reason"] == "InvalidNotebook"
    assert "notebooks/analysis/current.json cannot be read" in status_of(world)["message"]


@pytest.mark.parametrize("parameters", [{"x": 1}, {"large": "x" * 5000}], ids=["small", "large"])
def test_an_execution_with_a_newer_field_waits_for_a_newer_operator(world: World, life: Life, parameters: dict[str, Any]) -> None:
    world.create_execution("one", parameters=parameters, newerField={"path": "/"})
    for _ in range(3):
        work(life)
        go_on(life, 3600)
    status = status_of(world)
    assert (status["phase"], status["reason"]) == ("Pending", "Pending")
    assert "needs a newer operator: spec.newerField" in status["message"]
    assert world.jobs_created == []
    del world.executions["one"]["spec"]["newerField"]  # what a newer operator would understand
    world.change_spec("one")
    work(life)
    assert len(world.jobs_created) == 1
    assert "newer" not in status_of(world)["message"]


def test_an_accepted_execution_with_a_newer_field_keeps_no_place(
    world: World, tmp_path: Path, validator: ContractValidator
) -> None:
    life = Life(world, tmp_path, validator, limit=1)
    world.create_execution("one")
    life.watch()
    asyncio.run(life.reconciler.visit("one"))
    world.change_spec("one", newerField={"path": "/"})  # a newer operator had accepted it
    world.create_execution("two")
    for _ in range(3):
        # "one" is older, so it gets the place first, each time that it is looked at, and gives it back.
        work(life)
        for name in life.facts.places.grant():
            asyncio.run(life.reconciler.visit(name))
    assert [job["metadata"]["labels"]["podbook.dev/execution"] for job in world.jobs.values()] == ["two"]
    assert (status_of(world)["reason"], life.facts.places.taken) == ("Queued", 1)
    assert "needs a newer operator: spec.newerField" in status_of(world)["message"]
    life.end()


def test_an_execution_with_a_newer_field_can_be_cancelled(world: World, life: Life) -> None:
    world.create_execution("one", newerField={"path": "/"})
    work(life)
    world.change_spec("one", cancel=True)
    work(life)
    assert status_of(world)["reason"] == "Cancelled"
    assert stored(world).execution.spec.cancel


def test_a_run_with_a_newer_field_is_left_to_a_newer_operator(world: World, life: Life) -> None:
    world.create_execution("one")
    work(life)
    go_on(life)
    world.start_pod(newest_pod(world))
    go_on(life, 1)
    world.change_spec("one", newerField={"path": "/"})
    world.end_pod(newest_pod(world), 0, "Succeeded")
    go_on(life, 1)
    assert status_of(world)["reason"] == "Running"
    del world.executions["one"]["spec"]["newerField"]
    world.change_spec("one")
    go_on(life, 1)
    assert status_of(world)["reason"] == "Succeeded"


def test_an_end_with_a_newer_reason_stays_an_end(world: World, life: Life) -> None:
    world.create_execution("one")
    work(life)
    world.executions["one"]["status"] |= {"reason": "CellRejected", "phase": "Failed", "completionTime": "2025-03-01T12:00:00Z"}
    world.change_spec("one")
    work(life)
    assert life.facts.entries["one"].terminal
    assert life.facts.places.taken == 0
    assert stored(world).execution.status.phase == "Failed"


def test_a_damaged_record_keeps_no_run_from_its_end(world: World, life: Life) -> None:
    world.create_execution("one", parameters=DEEP)
    world.store.put("executions/uid-one/record.json", b"[]")
    work(life)
    assert status_of(world)["reason"] == "InvalidParameters"
    assert stored(world).execution.status.reason == "InvalidParameters"
