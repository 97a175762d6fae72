"""From an accepted execution to the task of its runner. Where the objects lie, in a bucket or in a directory, is the only thing that differs."""

from typing import Protocol

from podbook_core.execution.model import NotebookExecution, OnViolation
from podbook_core.execution.task import Destination, HttpCallSource, InputSource, Source, Task
from podbook_core.notebook.versions import Version
from podbook_core.store.keys import attempts_prefix, input_key, request_key

__all__ = ["Places", "build_task"]


class Places(Protocol):
    """How a runner reaches the store."""

    def url(self, key: str) -> str:
        """Where it reads an object."""
        ...

    def destination(self, prefix: str) -> Destination:
        """Where it writes objects below a prefix."""
        ...


def build_task(
    execution: NotebookExecution,
    version: Version,
    places: Places,
    *,
    timeout: float,
    publish_timeout: float,
    memory_limit_bytes: int | None = None,
) -> Task:
    """What the runner is told.

    Args:
        execution: with its parameters.
        version: what was accepted to run.
        places: how the runner reaches sources and destination.
        timeout: of the run, as it was accepted, in seconds.
        publish_timeout: of storing the results, in seconds.
        memory_limit_bytes: what the runner itself enforces; None where its container does.
    """
    spec = execution.spec
    call = spec.request

    def source(file: str, sha256: str | None) -> Source | None:
        return None if sha256 is None else Source(places.url(version.prefix + file), sha256)

    return Task(
        execution=execution.name,
        uid=execution.uid,
        notebook_name=version.name,
        version=version.version,
        notebook=Source(places.url(version.prefix + "notebook.ipynb"), version.notebook_sha256),
        contract=source("contract.json", version.contract_sha256),
        assets=source("assets.tar", version.assets_sha256),
        inputs=tuple(InputSource(item.name, places.url(input_key(item.sha256)), item.sha256, item.size) for item in spec.inputs),
        parameters=dict(spec.parameters),
        destination=places.destination(attempts_prefix(execution.uid)),
        timeout_seconds=timeout,
        publish_timeout_seconds=publish_timeout,
        html=spec.outputs.html,
        report=spec.outputs.report,
        memory_limit_bytes=memory_limit_bytes,
        request=None
        if call is None
        else HttpCallSource(call.method, call.route, call.path, places.url(request_key(call.sha256)), call.sha256),
        requires=() if call is None else ("http",),
        report_violation=spec.outputs.violation is OnViolation.REPORT,
    )
