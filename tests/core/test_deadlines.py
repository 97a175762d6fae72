"""The clocks of an execution follow from one another: whoever knows best speaks first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from podbook_core.execution.acceptance import limits
from podbook_core.execution.deadlines import (
    LONGEST_BACK_OFF,
    STOP_SLACK,
    access_seconds,
    first_attempt_deadline,
    pod_seconds,
    queue_deadline,
    run_seconds,
    start_deadline,
)
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Spec, Status
from podbook_core.execution.profiles import parse_profiles
from podbook_core.execution.task import Task
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import Version

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECONDS = st.integers(1, 259_200)


def execution(status: Status | None = None, **spec: int) -> NotebookExecution:
    metadata = Metadata(name="a", uid="u", creation_timestamp=NOW)
    return NotebookExecution(
        metadata=metadata, spec=Spec.model_validate({"notebook": NotebookRef(name="n"), **spec}), status=status or Status()
    )


@given(start=SECONDS, timeout=SECONDS, publish=SECONDS, queue=st.integers(0, 604_800), attempts=st.integers(1, 5))
def test_each_layer_outlasts_the_one_inside_of_it(start: int, timeout: int, publish: int, queue: int, attempts: int) -> None:
    runner = timeout + publish
    started_by = run_seconds(timeout=timeout, publish=publish)
    pod = pod_seconds(start=start, timeout=timeout, publish=publish)
    access = access_seconds(attempts=attempts, start=start, timeout=timeout, publish=publish, queue=queue)
    assert runner < started_by < pod
    assert access >= queue + attempts * (pod + STOP_SLACK) + (attempts - 1) * LONGEST_BACK_OFF


def test_defaults_are_the_same_for_every_reader() -> None:
    version = Version("n", "0" * 64, "2030-01-01T00:00:00Z", Contract(), "0" * 64, None, None, ())
    chosen = limits(execution().spec, version, parse_profiles(None)["default"])
    assert queue_deadline(execution()) == NOW + timedelta(seconds=chosen.queue_timeout)
    assert start_deadline(execution(), NOW) == NOW + timedelta(seconds=chosen.start_timeout)
    described = Spec.model_json_schema()["properties"]
    assert str(chosen.queue_timeout) in described["queueTimeoutSeconds"]["description"]
    assert str(chosen.start_timeout) in described["startTimeoutSeconds"]["description"]
    assert Task.__dataclass_fields__["publish_timeout_seconds"].default == 300


def test_the_wait_counts_from_acceptance_and_only_until_the_first_attempt() -> None:
    queued = execution(Status(queued_time=NOW + timedelta(seconds=5)), queueTimeoutSeconds=90)
    assert queue_deadline(queued) == first_attempt_deadline(queued) == NOW + timedelta(seconds=95)
    assert first_attempt_deadline(execution(Status(attempts=1))) is None
