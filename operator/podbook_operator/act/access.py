"""Signed access: the task of an execution, with links that reach exactly its own objects and die by themselves.

A runner pod holds no bucket keys. It may read the version it runs and the inputs that were named, and write below its execution's
attempts; the record's digests and ETags pin what counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from podbook_core.execution.model import ATTEMPTS_LIMIT, NotebookExecution
from podbook_core.execution.task import Destination, InputSource, Source, Task
from podbook_core.notebook.versions import Version
from podbook_core.store.keys import attempts_prefix, input_key
from podbook_operator.decide.situation import LONGEST_BACK_OFF

__all__ = ["MAX_VALIDITY", "Signed", "Signer", "build_task", "validity_seconds"]

MAX_VALIDITY = 7 * 24 * 3600
"""The longest a signature can last (AWS Signature Version 4)."""
_SLACK = 600
_ENDING = 120
"""What kubelet and operator allow a pod after its deadline."""
MAX_OBJECT_BYTES = 1024**3
"""The largest object an attempt may write; what it may write in all is bounded by the runner."""


class Signer(Protocol):
    """What can sign access to the bucket; :class:`podbook_core.store.s3.S3Store` does.

    Signing talks to nobody, unless the signer's own credentials are renewed from time to time: then whoever hands those out may be asked.
    """

    @property
    def renewed_credentials(self) -> bool:
        """Whether the credentials that sign are replaced before they end."""
        ...

    def credentials_end(self) -> datetime | None:
        """When the credentials that sign now end, and with them all that they signed; None where that is not known.

        Raises :class:`podbook_core.store.base.StoreUnavailableError` when they have ended and there are no new ones.
        """
        ...

    def presign_get(self, key: str, seconds: int) -> str:
        """A URL that reads one object."""
        ...

    def presign_post(self, prefix: str, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
        """URL and form fields that write any object below a prefix."""
        ...


@dataclass(frozen=True, slots=True)
class Signed:
    """When access was signed, and until when the credentials last that signed it."""

    at: datetime
    until: datetime


def validity_seconds(*, start: int, timeout: int, publish: int, queue: int = 0) -> int:
    """How long access must last, in seconds: for every attempt there may be, their back-off, and the wait in a cluster's queue.

    There may be five whatever ``spec.retries`` says, because disruptions do not count; and the last one must still be able to store its
    results. Each may wait as long as a start may take for its pod, and again for its container.
    """
    attempt = 2 * start + timeout + publish + _ENDING
    back_off = int(LONGEST_BACK_OFF.total_seconds())
    return min(ATTEMPTS_LIMIT * attempt + (ATTEMPTS_LIMIT - 1) * back_off + queue + _SLACK, MAX_VALIDITY)


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
