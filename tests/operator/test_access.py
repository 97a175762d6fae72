"""The task that a pod gets, and how long its access lasts."""

from typing import Any

from podbook_core.execution.model import InputFile, Outputs
from podbook_core.execution.task import Task
from podbook_core.execution.task_building import build_task
from podbook_core.notebook.contract import Contract
from podbook_core.notebook.versions import Version
from podbook_operator.act.access import MAX_VALIDITY, SignedPlaces, validity_seconds

from .documents import DIGEST, UID, execution
from .simulation import FakeSigner

VERSION = Version("analysis", DIGEST, "2025-03-01T12:00:00Z", Contract(), DIGEST, None, DIGEST, ("data.csv",))


def task(**spec: Any) -> Task:
    item = execution(parameters={"x": 1}, **spec)
    return build_task(item, VERSION, SignedPlaces(FakeSigner(), 500), timeout=60, publish_timeout=30)


def test_the_pod_may_read_its_version_and_write_its_own_attempts() -> None:
    made = task()
    assert made.notebook.url == f"http://store/notebooks/analysis/versions/{DIGEST}/notebook.ipynb?seconds=500"
    assert made.contract is None
    assert made.assets is not None
    assert made.destination.prefix == f"executions/{UID}/attempts/"
    assert made.destination.fields["prefix"] == made.destination.prefix
    assert (made.timeout_seconds, made.publish_timeout_seconds, made.parameters) == (60, 30, {"x": 1})


def test_inputs_are_those_that_were_named() -> None:
    made = task(inputs=[InputFile(name="photo.png", sha256=DIGEST, size=3, media_type="image/png")])
    (item,) = made.inputs
    assert (item.name, item.url, item.size) == ("photo.png", f"http://store/inputs/{DIGEST}?seconds=500", 3)


def test_the_wished_renderings_are_passed_on() -> None:
    made = task(outputs=Outputs(html=True, report=False))
    assert (made.html, made.report) == (True, False)


def test_the_task_survives_the_journey() -> None:
    made = task()
    assert Task.from_json(made.to_json()) == made


def test_access_lasts_for_every_attempt_and_never_longer_than_a_signature_can() -> None:
    one = validity_seconds(start=10, timeout=100, publish=10)
    assert one >= 5 * 120 + 4 * 360  # disruptions give attempts that nobody planned, each after a longer back-off
    assert validity_seconds(start=10, timeout=100, publish=10, queue=1000) == one + 1000
    assert validity_seconds(start=3600, timeout=259_200, publish=300) == MAX_VALIDITY
