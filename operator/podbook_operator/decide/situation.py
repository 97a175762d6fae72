"""Everything that the decision about one execution depends on, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution
from podbook_operator.facts.observe import JobFacts, PodFacts

__all__ = ["Policy", "Rejection", "Situation"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decisions depend on. Times in seconds."""

    publish_timeout: int
    ttl_succeeded: int
    ttl_failed: int
    job_ttl: int
    configuration_grace: int
    progress_interval: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """What the cluster said about a Job that has no pod."""

    since: datetime
    """Since when it had none. What was said about another attempt's pod counts no more."""
    asked: datetime
    message: str
    """Why it cannot have one; empty when the cluster does not say."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything known about one execution."""

    execution: NotebookExecution
    """With or without its parameters, which no decision depends on."""
    job: JobFacts | None
    pods: tuple[PodFacts, ...]
    """Oldest first."""
    slot: bool
    """Admission grants it a place."""
    now: datetime
    confirmed: bool = False
    """Job and pods were just read from the API server, not from a watch."""
    manifests: Mapping[str, AttemptManifest | None] = field(default_factory=dict)
    """By attempt (pod uid); None where it was looked for and there is none that counts."""
    attempts_read_for: str | None = None
    """The vanished pod for which every attempt in the store was read."""
    attempt_over: datetime | None = None
    """When the newest attempt was seen to be over, ended or gone, by the operator's clock."""
    rejection: Rejection | None = None
    """What the cluster said last about a missing pod."""
    progress_read: datetime | None = None
    """When progress was read last."""
