"""The Kubernetes backend on a real API server: the contract of all backends, several replicas, outages."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.backends.cluster.conftest import EXECUTIONS, ControlPlane
from tests.backends.contract import BackendContract
from typing_extensions import override

from podbook_api.backends.base import (
    BackendUnavailableError,
    InvalidExecutionError,
    QueueFullError,
)
from podbook_api.backends.cluster.backend import KubernetesBackend
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec
from podbook_core.execution.reasons import Reason
from podbook_core.text.names import execution_name

pytestmark = pytest.mark.controlplane

Start = Callable[..., Any]


def new_execution(notebook: str = "quick", labels: dict[str, str] | None = None, **spec: Any) -> NotebookExecution:
    """An execution to be created."""
    metadata = Metadata(name=execution_name(notebook), labels=labels or {})
    return NotebookExecution(metadata=metadata, spec=Spec.model_validate({"notebook": NotebookRef(name=notebook), **spec}))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event of this process
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("player")
class TestKubernetesBackend(BackendContract):
    @pytest_asyncio.fixture
    async def backend(self, start_backend: Start) -> KubernetesBackend:
        made: KubernetesBackend = await start_backend()
        return made

    @override
    def quick(self, **spec: Any) -> NotebookExecution:
        return new_execution(**spec)

    @override
    def long(self) -> NotebookExecution:
        return new_execution("long")


async def test_what_one_replica_wrote_another_reads(start_backend: Start) -> None:
    first, second = await start_backend(), await start_backend()
    for _ in range(10):
        created = await first.create(new_execution("long"))
        found = await second.get(created.name)
        assert found is not None
        assert found.uid == created.uid
        await second.cancel(created.name)
        seen = await first.get(created.name)
        assert seen is not None
        assert seen.spec.cancel


@pytest.mark.usefixtures("player")
async def test_every_replica_hears_of_every_execution(start_backend: Start) -> None:
    first, second = await start_backend(), await start_backend()
    names = {(await first.create(new_execution())).name for _ in range(20)}
    assert {item.name for item in await first.live()} == names
    await until(lambda: {item.name for item in second._live.all() if item.status.terminal} == names)


async def test_a_resource_made_by_kubectl_is_an_execution_too(start_backend: Start, client: httpx.AsyncClient) -> None:
    backend = await start_backend()
    body = {
        "apiVersion": "podbook.dev/v1alpha1",
        "kind": "NotebookExecution",
        "metadata": {"name": "by-hand", "annotations": {"note": "x"}, "finalizers": []},
        "spec": {"notebook": {"name": "quick"}},
    }
    assert (await client.post(EXECUTIONS, json=body)).status_code == 201
    found = await backend.get("by-hand")
    assert found is not None
    assert found.status.reason is Reason.PENDING
    async with backend.watch("by-hand") as states:
        first = await anext(states)
        assert first.uid == found.uid
        assert (await client.delete(f"{EXECUTIONS}/by-hand")).status_code == 200
        assert [state async for state in states] == []
    assert await backend.get("by-hand") is None


async def test_no_more_wait_than_may(start_backend: Start) -> None:
    backend = await start_backend(max_queued=3)
    answers = await asyncio.gather(*(backend.create(new_execution()) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, NotebookExecution) for answer in answers) == 3
    refused = [answer for answer in answers if isinstance(answer, QueueFullError)]
    assert len(refused) == 3
    assert (refused[0].waiting, refused[0].limit, refused[0].retry_after > 0) == (3, 3, True)


async def test_large_parameters_pass_and_are_watched(start_backend: Start) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution(parameters={"text": "é\u2028" * 60_000}))
    other = await start_backend()
    assert (await other.get(created.name)) == created
    await backend.cancel(created.name)
    await until(lambda: any(item.spec.cancel for item in other._live.all()))


async def test_what_the_cluster_will_not_take_is_said(start_backend: Start) -> None:
    backend = await start_backend()
    with pytest.raises(InvalidExecutionError, match=r"metadata\.labels"):
        await backend.create(new_execution(labels={"a": "not a label value!"}))


async def test_a_probe_asks_only_whether_somebody_answers(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    await KubernetesBackend("default").probe()
    stranger = tmp_path / "kubeconfig"
    stranger.write_text(control_plane.kubeconfig.read_text().replace("user: {token: ", "user: {token: not-"))
    monkeypatch.setenv("KUBECONFIG", str(stranger))
    with pytest.raises(BackendUnavailableError, match="answers 401"):
        await KubernetesBackend("default").probe()


async def test_an_outage_is_said_and_survived(
    start_backend: Start, control_plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    backend, other = await start_backend(), await start_backend()
    running = await backend.create(new_execution("long"))
    async with backend.watch(running.name) as states:
        assert (await anext(states)).uid == running.uid
        control_plane.kill_api_server()
        try:
            for call in (
                lambda: backend.create(new_execution()),
                lambda: backend.get(running.name),
                lambda: backend.cancel(running.name),
                lambda: backend.remove(running.name, running.uid),
                backend.check,
            ):
                with pytest.raises(BackendUnavailableError, match="cannot be reached") as caught:
                    await call()
                assert caught.value.retry_after > 0
            with pytest.raises(BackendUnavailableError, match=f"{control_plane.url}: .*cannot be reached"):
                await KubernetesBackend("default").probe()
            late = KubernetesBackend("default")
            starting = asyncio.create_task(late.start())
            await until(lambda: backend._lost_at is not None)
        finally:
            control_plane.start_api_server()
        await starting
        # Whoever was waiting hears what happens from now on, without asking again.
        assert await other.cancel(running.name) is not None
        async with asyncio.timeout(60):
            assert (await anext(states)).spec.cancel
    await backend.check()
    await until(late._is_fresh)
    assert [item.uid for item in await late.live()] == [running.uid]
    await late.stop()
    assert "is interrupted" in caplog.text


async def until_listed(backend: KubernetesBackend, expected: dict[str, bool]) -> None:
    """Wait until these are the live executions: by name, whether they are to be cancelled."""
    async with asyncio.timeout(60):
        while True:
            with suppress(BackendUnavailableError):
                if {item.name: item.spec.cancel for item in await backend.live()} == expected:
                    return
            await asyncio.sleep(0.02)


async def test_a_cluster_that_is_set_back_to_a_backup(start_backend: Start, control_plane: ControlPlane, tmp_path: Path) -> None:
    backend = await start_backend()
    kept = await backend.create(new_execution("long"))
    control_plane.back_up(tmp_path / "backup")
    await backend.cancel(kept.name)
    lost = await backend.create(new_execution("long"))
    await until_listed(backend, {kept.name: True, lost.name: False})
    control_plane.restore(tmp_path / "backup")
    await until_listed(backend, {kept.name: False})
    assert await backend.get(lost.name) is None
    # It follows what happens from here on, although all of it is older than what it had heard before.
    other = await start_backend()
    later = await other.create(new_execution("long"))
    await other.cancel(kept.name)
    await until_listed(backend, {kept.name: True, later.name: False})


async def test_no_error_ends_the_watch_for_good(
    start_backend: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend, other = await start_backend(), await start_backend()

    def fail(_: NotebookExecution) -> NotebookExecution:
        raise RecursionError

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(backend._live, "learn", fail)
        created = await other.create(new_execution("long"))
        await until(lambda: "unexpected error in the watch" in caplog.text)
    await until_listed(backend, {created.name: False})
    await other.cancel(created.name)
    await until_listed(backend, {created.name: True})


@pytest.mark.usefixtures("player")
async def test_what_is_removed_through_one_replica_is_gone_for_every_other(start_backend: Start) -> None:
    first, second = await start_backend(), await start_backend()
    for _ in range(10):
        created = await first.create(new_execution())
        async with first.watch(created.name) as states:
            await collect(states)
        await second.remove(created.name, created.uid)
        assert await first.get(created.name) is None


async def test_a_cluster_that_is_not_set_up(start_backend: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = await start_backend()
    backend._path = backend._path.replace("v1alpha1", "v9")
    with pytest.raises(BackendUnavailableError, match="not set up for executions"):
        await backend.create(new_execution())
    monkeypatch.setenv("KUBECONFIG", "missing")
    with pytest.raises(BackendUnavailableError, match="no usable configuration"):
        await KubernetesBackend("default").start()


async def test_stopping_ends_those_who_wait(start_backend: Start) -> None:
    backend = await start_backend()
    created = await backend.create(new_execution("long"))
    async with backend.watch(created.name) as states:
        await anext(states)
        rest = asyncio.create_task(collect(states))
        await asyncio.sleep(0)
        await backend.stop()
        async with asyncio.timeout(30):
            assert await rest == []
    with pytest.raises(BackendUnavailableError):
        await backend.live()
    with pytest.raises(BackendUnavailableError):
        await backend.get(created.name)


async def collect(states: Any) -> list[NotebookExecution]:
    """Everything that comes."""
    return [state async for state in states]


# --- a definition of executions that is older than the API


SPEC = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
RULES, FIELD = f"{SPEC}/x-kubernetes-validations", f"{SPEC}/properties/startTimeoutSeconds"


async def test_a_field_that_an_older_crd_would_drop_is_refused(start_backend: Start, client: httpx.AsyncClient) -> None:
    backend = await start_backend()
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/notebookexecutions.podbook.dev"
    patch = {"Content-Type": "application/json-patch+json"}
    whole = (await client.get(definition)).json()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    kept = {
        RULES: whole["properties"]["spec"]["x-kubernetes-validations"],  # which name every field
        FIELD: whole["properties"]["spec"]["properties"]["startTimeoutSeconds"],
    }
    older = await client.patch(definition, json=[{"op": "remove", "path": path} for path in kept], headers=patch)
    assert older.status_code == 200, older.text
    try:
        refusal = await _outcome(backend, refused=True)
        assert "the CRD is older than the API; apply the CRD of this version" in refusal
        assert "spec.startTimeoutSeconds" in refusal
        assert (await backend.create(new_execution())).spec.start_timeout_seconds is None
    finally:
        back = [{"op": "add", "path": path, "value": value} for path, value in reversed(kept.items())]
        restored = await client.patch(definition, json=back, headers=patch)
        assert restored.status_code == 200, restored.text
    assert await _outcome(backend, refused=False) == ""


async def _outcome(backend: KubernetesBackend, *, refused: bool) -> str:
    """Create until the API server follows its new definition, which takes a moment; returns the refusal, empty when there is none."""
    async with asyncio.timeout(60):
        while True:
            message = ""
            try:
                created = await backend.create(new_execution(start_timeout_seconds=5))
                assert created.spec.start_timeout_seconds == 5
            except BackendUnavailableError as error:
                message = str(error)
            if bool(message) is refused:
                return message
            await asyncio.sleep(0.1)
