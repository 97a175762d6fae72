"""The model of NotebookExecution as JSON: nothing lost, nothing unknown taken."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from podbook_core.execution.model import Metadata, NotebookExecution, Progress, Spec, Status
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance
from podbook_core.text.names import EXECUTION_NAME, NOTEBOOK_NAME

from .builders import DIGEST, NOW, ended, execution

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=5,
)
SPECS = st.fixed_dictionaries(
    {
        "notebook": st.fixed_dictionaries(
            {"name": st.from_regex(NOTEBOOK_NAME, fullmatch=True)}, optional={"version": st.just(DIGEST)}
        )
    },
    optional={
        "parameters": st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), JSON, max_size=3),
        "inputs": st.just([{"name": "a.csv", "sha256": DIGEST, "size": 3, "mediaType": "text/csv"}]),
        "profile": st.just("large"),
        "timeoutSeconds": st.integers(1, 259_200),
        "retries": st.integers(0, 4),
        "cancel": st.booleans(),
        "outputs": st.just({"html": False, "report": True}),
        "submittedBy": st.just("team"),
    },
)
CREATED = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - hypothesis adds it
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
NAMES = st.from_regex(EXECUTION_NAME, fullmatch=True)


@given(NAMES, SPECS, CREATED, st.sampled_from(Reason))
def test_an_execution_survives_its_json(name: str, spec: dict[str, Any], created: datetime, reason: Reason) -> None:
    item = NotebookExecution(
        metadata=Metadata(name=name, uid="u1", creation_timestamp=created, labels={"a": "b"}), spec=Spec.model_validate(spec)
    )
    item = item.with_status(
        advance(item.status, Change(reason, progress=Progress(completed=1, total=2)), generation=1, now=created)
    )
    text = json.dumps(item.document())
    assert NotebookExecution.model_validate_json(text) == item
    assert NotebookExecution.model_validate(json.loads(text)).document() == item.document()


def test_the_document_speaks_as_kubernetes_does() -> None:
    raw = ended(Reason.CELL_FAILED, timeout_seconds=5).document()
    assert raw["apiVersion"] == "podbook.dev/v1alpha1"
    assert raw["kind"] == "NotebookExecution"
    assert raw["metadata"]["creationTimestamp"] == "2025-03-01T12:00:00Z"
    assert raw["spec"]["timeoutSeconds"] == 5
    assert raw["status"]["completionTime"] == "2025-03-01T12:00:00Z"
    assert "profile" not in raw["spec"]
    assert raw["status"]["conditions"][0]["lastTransitionTime"] == "2025-03-01T12:00:00Z"


def test_ids_of_jobs_are_spelled_as_in_kubernetes() -> None:
    assert Status(job_uid="j").document()["jobUID"] == "j"
    assert Status.model_validate({"jobUID": "j"}).job_uid == "j"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "notebok"], {}),
        (["spec", "notebook", "tag"], "x"),
        (["spec", "notebook", "name"], "../etc"),
        (["spec", "notebook", "name"], "x" * 64),
        (["spec", "notebook", "version"], "latest"),
        (["spec", "parameters"], []),
        (["spec", "timeoutSeconds"], 0),
        (["spec", "retries"], 5),
        (["spec", "profile"], "Large"),
        (["spec", "inputs"], [{"name": "../a", "sha256": DIGEST, "size": 1}]),
        (["spec", "inputs"], [{"name": "a", "sha256": "x", "size": 1}]),
        (["status", "phase"], "Done"),
        (["status", "message"], "x" * 1025),
        (["metadata", "name"], "Upper"),
        (["kind"], "Pod"),
        (["apiVersion"], "podbook.dev/v1"),
        (["extra"], 1),
    ],
    ids=str,
)
def test_what_is_refused(path: list[str], value: Any) -> None:
    raw = ended().document()
    node = raw
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises(ValidationError):
        NotebookExecution.model_validate(raw)


def test_metadata_of_others_passes_unread() -> None:
    raw = execution().document()
    raw["metadata"] |= {"managedFields": [{"manager": "kubectl"}], "ownerReferences": [], "selfLink": "x"}
    assert NotebookExecution.model_validate(raw) == execution()


def test_times_are_utc() -> None:
    east = timezone(timedelta(hours=2))
    assert Metadata(name="a", creation_timestamp=NOW.astimezone(east)).creation_timestamp == NOW
    assert Metadata.model_validate({"name": "a", "creationTimestamp": "2025-03-01T14:00:00+02:00"}).creation_timestamp == NOW
    assert Metadata.model_validate({"name": "a", "creationTimestamp": "2025-03-01T12:00:00"}).creation_timestamp == NOW
    millis = Status(start_time=NOW.replace(microsecond=123456)).document()
    assert millis["startTime"] == "2025-03-01T12:00:00.123Z"


def test_an_execution_knows_itself() -> None:
    item = execution()
    assert (item.name, item.uid, item.created) == ("analysis-1", "u1", NOW)
    assert NotebookExecution(metadata=Metadata(name="a"), spec=item.spec).created == datetime.fromtimestamp(0, UTC)
    assert not item.status.terminal
    assert item.status.condition("Finished") is None
    assert ended().status.terminal
