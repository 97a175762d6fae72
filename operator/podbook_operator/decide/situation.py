"""Everything that the decision about one execution depends on, as plain data, and the deadlines that follow from it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from podbook_core.execution.manifest import AttemptManifest
from podbook_core.execution.model import NotebookExecution
from podbook_operator.facts.observe import JobFacts, PodFacts

__all__ = ["LONGEST_BACK_OFF", "Policy", "Rejection", "Situation", "queue_deadline", "start_deadline"]

DEFAULT_QUEUE_TIMEOUT = 86_400
DEFAULT_START_TIMEOUT = 300
LONGEST_BACK_OFF = timedelta(minutes=6)
"""What the Job controller lets pass before another attempt, at most (Kubernetes, "Pod backoff failure policy")."""


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


def start_deadline(execution: NotebookExecution, since: datetime) -> datetime:
    """Until when something must have begun that could begin at ``since``."""
    return since + timedelta(seconds=execution.spec.start_timeout_seconds or DEFAULT_START_TIMEOUT)


def queue_deadline(execution: NotebookExecution) -> datetime:
    """Until when it may wait for its turn."""
    since = execution.status.queued_time or execution.created
    return since + timedelta(seconds=execution.spec.queue_timeout_seconds or DEFAULT_QUEUE_TIMEOUT)
