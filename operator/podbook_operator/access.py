"""Signed access: the task of an execution, with links that reach exactly its own objects and die by themselves.

A runner pod holds no bucket keys. It may read the version it runs and the inputs that were named, and write below its execution's
attempts; the record's digests and ETags pin what counts.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from podbook_core.model import ATTEMPTS_LIMIT, NotebookExecution
from podbook_core.store.keys import attempts_prefix, input_key
from podbook_core.task import Destination, InputSource, Source, Task
from podbook_core.versions import Version

__all__ = ["Signer", "build_task", "validity_seconds"]

MAX_VALIDITY = 7 * 24 * 3600
"""The longest a signature can last (AWS Signature Version 4)."""
_SLACK = 600
MAX_OBJECT_BYTES = 1024**3
"""The largest object an attempt may write; what it may write in all is bounded by the runner."""


class Signer(Protocol):
    """What can sign access to the bucket; :class:`podbook_core.store.s3.S3Store` does. Signing talks to nobody."""

    def presign_get(self, key: str, seconds: int) -> str:
        """A URL that reads one object."""
        ...

    def presign_post(self, prefix: str, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and form fields that write any object below a prefix."""
        ...


def validity_seconds(*, start: int, timeout: int, publish: int, retries: int, queue: int = 0) -> int:
    """How long access must last: every attempt the Job may make, their back-off, and the wait in a cluster's queue."""
    attempts = min(retries + 2, ATTEMPTS_LIMIT)  # one more than planned, for a disruption
    return min(attempts * (start + timeout + publish) + queue + _SLACK, MAX_VALIDITY)


def build_task(
    execution: NotebookExecution,
    version: Version,
    parameters: Mapping[str, Any],
    signer: Signer,
    *,
    timeout: int,
    publish_timeout: int,
    seconds: int,
) -> Task:
    """What the runner is told. Times in seconds; ``seconds`` is how long the access lasts."""
    spec = execution.spec

    def source(file: str, sha256: str | None) -> Source | None:
        return None if sha256 is None else Source(signer.presign_get(version.prefix + file, seconds), sha256)

    prefix = attempts_prefix(execution.uid)
    url, fields = signer.presign_post(prefix, MAX_OBJECT_BYTES, seconds)
    return Task(
        execution=execution.name,
        uid=execution.uid,
        notebook_name=version.name,
        version=version.version,
        notebook=Source(signer.presign_get(version.prefix + "notebook.ipynb", seconds), version.notebook_sha256),
        contract=source("contract.json", version.contract_sha256),
        assets=source("assets.tar", version.assets_sha256),
        inputs=tuple(
            InputSource(item.name, signer.presign_get(input_key(item.sha256), seconds), item.sha256, item.size)
            for item in spec.inputs
        ),
        parameters=dict(parameters),
        destination=Destination("post", url, prefix, fields),
        timeout_seconds=timeout,
        publish_timeout_seconds=publish_timeout,
        html=spec.outputs.html,
        report=spec.outputs.report,
    )
