"""From watch events to facts and keys: the only thing kopf is asked to do. No handler decides, writes, or returns anything.

Facts are learned in index handlers, because kopf has seen every object of every kind once before the first event handler runs: that is when
the workers may begin. Nothing is ever written to the objects: no finalizers, no annotations, no handler results.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from podbook_core import API_GROUP, API_VERSION, PLURAL
from podbook_operator.facts.cache import Facts
from podbook_operator.facts.workqueue import WorkQueue

__all__ = ["WATCHED", "register"]

WATCHED = (f"{PLURAL}.{API_VERSION}.{API_GROUP}", "jobs.v1.batch", "pods.v1")
"""What is watched, as kopf names it."""
_EXECUTIONS = (API_GROUP, API_VERSION, PLURAL)
_JOBS = ("batch", "v1", "jobs")
_PODS = ("", "v1", "pods")


def register(
    registry: kopf.OperatorRegistry,
    facts: Facts,
    queue: WorkQueue,
    *,
    synced: Callable[[], None],
    gone: Callable[[str], None],
    healthy: Callable[[], Awaitable[dict[str, Any]]],
) -> None:
    """Register every handler.

    Args:
        registry: kopf's, one for each operator.
        facts: where they write.
        queue: what they wake.
        synced: called when everything that exists is known, as soon as there is anything; maybe more than once.
        gone: called with the unique id of an execution that is gone.
        healthy: what /healthz answers; raises ``kopf.PermanentError`` when the operator should be restarted.
    """

    def wake(name: str | None) -> None:
        if name is not None:
            queue.add(name)

    @kopf.index(*_EXECUTIONS, registry=registry, id="executions")
    async def learn_execution(body: kopf.Body, **_: Any) -> None:
        if not facts.knows(body):  # an echo of the operator's own write changes nothing
            wake(facts.put_execution(body).name)

    @kopf.index(*_JOBS, registry=registry, id="jobs")
    async def learn_job(body: kopf.Body, **_: Any) -> None:
        wake(facts.put_job(body))

    @kopf.index(*_PODS, registry=registry, id="pods")
    async def learn_pod(body: kopf.Body, **_: Any) -> None:
        wake(facts.put_pod(body))

    begun = False

    def begin() -> None:
        nonlocal begun
        begun = True
        synced()

    def needed(event: Any, **_: Any) -> bool:
        # Whatever comes first says that all is known: where no execution is left, a Job or a pod may be.
        return not begun or event["type"] == "DELETED"

    @kopf.on.event(*_EXECUTIONS, registry=registry, id="execution", when=needed)
    async def execution_event(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        begin()
        if event["type"] == "DELETED":
            name, uid = body["metadata"]["name"], body["metadata"]["uid"]
            facts.drop_execution(name, uid)
            gone(uid)
            queue.forget(name)
            queue.add(name)

    @kopf.on.event(*_JOBS, registry=registry, id="job", when=needed)
    async def job_event(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        begin()
        if event["type"] == "DELETED":
            wake(facts.drop_job(body))

    @kopf.on.event(*_PODS, registry=registry, id="pod", when=needed)
    async def pod_event(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        begin()
        if event["type"] == "DELETED":
            wake(facts.drop_pod(body))

    @kopf.on.probe(registry=registry, id="operator")
    async def probe(**_: Any) -> dict[str, Any]:
        return await healthy()
