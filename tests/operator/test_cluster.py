"""The adapter to the API server, against a server that answers as one does."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from podbook_cluster.api_server import ApiServer
from podbook_cluster.errors import (
    ClusterError,
    ClusterUnavailableError,
    ConflictError,
    MissingRightError,
    NotFoundError,
    QuotaUsedUpError,
    RefusedError,
    error_from_answer,
)
from podbook_operator.cluster import KubernetesCluster

ACCOUNT = 'User "system:serviceaccount:podbook:podbook-operator"'
RIGHTS = f'jobs.batch is forbidden: {ACCOUNT} cannot create resource "jobs" in API group "batch" in the namespace "runs"'


@asynccontextmanager
async def connected(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[KubernetesCluster]:
    """The adapter, and a server that answers everything so."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    cluster = KubernetesCluster(ApiServer(configuration, "podbook-tests"), "runs")
    try:
        yield cluster
    finally:
        await cluster.aclose()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, RIGHTS, MissingRightError),
        (403, f'secrets "nbx-1" is forbidden: {ACCOUNT} cannot patch resource "secrets"', MissingRightError),
        (403, 'jobs.batch "nbx-1" is forbidden: not yet ready to handle request', ClusterUnavailableError),
        (403, 'secrets "nbx-1" is forbidden: status unknown for quota: all, resources: secrets', ClusterUnavailableError),
        (403, 'jobs.batch "nbx-1" is forbidden: exceeded quota: few, requested: count/jobs.batch=1, used: 5', QuotaUsedUpError),
        (403, "jobs.batch \"nbx-1\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", RefusedError),
        (403, 'admission webhook "x" denied the request: because', RefusedError),
        (401, "Unauthorized", ClusterUnavailableError),
        (404, "not found", NotFoundError),
        (409, "already exists", ConflictError),
        (410, "the provided continue parameter is too old", RefusedError),
        (422, "spec is invalid", RefusedError),
        (429, "too many requests", ClusterUnavailableError),
        (503, "the server is shutting down", ClusterUnavailableError),
    ],
)
async def test_what_the_answers_of_an_api_server_mean(status: int, message: str, kind: type[ClusterError]) -> None:
    """Trying again helps where the server does not know yet what it may allow; what a quota or a policy says is an answer."""

    def answer(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": message, "code": status}, status=status)

    async with connected(answer) as cluster:
        with pytest.raises(ClusterError) as caught:
            await cluster.create_job({"metadata": {"name": "nbx-1"}})
    assert type(caught.value) is kind
    assert str(caught.value).endswith(message)


def test_a_server_says_when_to_come_back() -> None:
    error = error_from_answer(429, b"{}", "7")
    assert isinstance(error, ClusterUnavailableError)
    assert error.retry_after == 7


async def test_every_job_there_is_is_counted_and_only_its_metadata_is_asked_for() -> None:
    asked: list[web.Request] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request)
        first = "continue" not in request.query
        items: list[Any] = [{"metadata": {"uid": f"{'a' if first else 'b'}{number}"}} for number in range(2)]
        return web.json_response({"metadata": {"continue": "more"} if first else {}, "items": items})

    async with connected(answer) as cluster:
        assert await cluster.job_uids("color=blue") == {"a0", "a1", "b0", "b1"}
        assert await cluster.pod_uids("color=blue") == {"a0", "a1", "b0", "b1"}
    assert [request.path.rpartition("/")[2] for request in asked] == ["jobs", "jobs", "pods", "pods"]
    assert {request.query["labelSelector"] for request in asked} == {"color=blue"}
    assert all("PartialObjectMetadataList" in request.headers["Accept"] for request in asked)
