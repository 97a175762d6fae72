"""Every clock of an execution: the waits it may have, what a run may take, and the backstops that end what outlives its own clock. Pure.

Each layer waits longer than the one inside of it, so that the layer that knows most acts first: the runner ends its run and stores what there is;
then the starter of the runner (the kubelet, or the supervisor of the embedded mode) ends the runner; then the operator gives up on a pod
that its node never ended; and signed access outlasts all of them. All in seconds but where a moment is returned.

Standard library only at run time: the runner's task takes a default from here.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podbook_core.execution.model import NotebookExecution, Spec

__all__ = [
    "BACKSTOP",
    "DEFAULT_PUBLISH_TIMEOUT",
    "DEFAULT_QUEUE_TIMEOUT",
    "DEFAULT_START_TIMEOUT",
    "LONGEST_BACK_OFF",
    "STOP_SLACK",
    "access_seconds",
    "first_attempt_deadline",
    "pod_seconds",
    "queue_deadline",
    "queue_timeout",
    "run_seconds",
    "start_deadline",
    "start_timeout",
]

DEFAULT_QUEUE_TIMEOUT = 86_400
"""Longest wait for a free slot, where the spec names none."""
DEFAULT_START_TIMEOUT = 300
"""Longest wait for a pod to begin, where the spec names none."""
DEFAULT_PUBLISH_TIMEOUT = 300
"""Default of the maximum time in which a runner must store its results."""
BACKSTOP = 60
"""What the starter of a runner grants it beyond the deadlines that it keeps itself."""
STOP_SLACK = 60
"""How long after its deadline a pod may still be ending (kubelet, publishing) before it counts as lost."""
LONGEST_BACK_OFF = 360
"""What the Job controller lets pass before another attempt, at most (Kubernetes, "Pod backoff failure policy")."""


def queue_timeout(spec: "Spec") -> int:
    """Longest wait for a free slot."""
    return spec.queue_timeout_seconds or DEFAULT_QUEUE_TIMEOUT


def start_timeout(spec: "Spec") -> int:
    """Longest wait for a pod to begin."""
    return spec.start_timeout_seconds or DEFAULT_START_TIMEOUT


def queue_deadline(execution: "NotebookExecution") -> datetime:
    """Until when it may wait for its turn."""
    return (execution.status.queued_time or execution.created) + timedelta(seconds=queue_timeout(execution.spec))


def first_attempt_deadline(execution: "NotebookExecution") -> datetime | None:
    """Until when it may wait for its first attempt; None once it had one, for then it waits as long as it takes."""
    return None if execution.status.attempts else queue_deadline(execution)


def start_deadline(execution: "NotebookExecution", since: datetime) -> datetime:
    """Until when something must have begun that could begin at ``since``."""
    return since + timedelta(seconds=start_timeout(execution.spec))


def run_seconds(*, timeout: float, publish: float) -> float:
    """How long a runner may live before its starter ends it."""
    return timeout + publish + BACKSTOP


def pod_seconds(*, start: int, timeout: int, publish: int) -> int:
    """How long a pod may live (``activeDeadlineSeconds``); this clock begins when the kubelet sees the pod, before its image is there."""
    return start + int(run_seconds(timeout=timeout, publish=publish))


def access_seconds(*, attempts: int, start: int, timeout: int, publish: int, queue: int = 0) -> int:
    """How long access to the store must last for so many attempts, their back-off, and the wait in a cluster's queue.

    Each attempt may wait as long as a start may take for its pod, and again for its container; and the last one must still be able to store
    its results.
    """
    attempt = start + pod_seconds(start=start, timeout=timeout, publish=publish) + STOP_SLACK
    return attempts * attempt + (attempts - 1) * LONGEST_BACK_OFF + queue
