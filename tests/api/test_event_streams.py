"""Server-Sent Events: the present state first, ids that any replica understands, and a clear end."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from podbook_api.services.following import Event, State, state_events, state_id
from podbook_core.execution.model import Metadata, NotebookExecution, NotebookRef, Progress, Spec, Status
from podbook_core.execution.reasons import Reason
from podbook_core.execution.transitions import Change, advance

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def state(reason: Reason, completed: int | None = None) -> State:
    """A state of one and the same execution."""
    status = advance(Status(), Change(reason), generation=1, now=NOW)
    execution = NotebookExecution(metadata=Metadata(name="double-1", uid="u"), spec=Spec(notebook=NotebookRef(name="double")))
    return State(execution.with_status(status), None if completed is None else Progress(completed=completed, total=3))


def names(events: list[Event]) -> list[str]:
    """The kinds of events."""
    return [event.kind for event in events]


def test_a_newcomer_gets_the_present_state_with_its_progress() -> None:
    (event,) = state_events(state(Reason.RUNNING, 2), None)
    assert event.kind == "status"
    document = event.data
    assert document["id"] == "double-1"
    assert (document["status"]["reason"], document["status"]["progress"]) == ("Running", {"completed": 2, "total": 3})


def test_only_what_is_new_is_told() -> None:
    first = state_id(state(Reason.RUNNING, 1))
    assert state_events(state(Reason.RUNNING, 1), first) == []
    assert names(state_events(state(Reason.RUNNING, 2), first)) == ["progress"]
    assert names(state_events(state(Reason.PUBLISHING, 3), first)) == ["status"]
    assert names(state_events(state(Reason.RUNNING, 2), "of an older server")) == ["status"]


def test_ids_derive_from_the_state_alone() -> None:
    assert state_id(state(Reason.RUNNING, 1)) == state_id(state(Reason.RUNNING, 1))
    assert len({state_id(state(Reason.RUNNING, 1)), state_id(state(Reason.RUNNING, 2)), state_id(state(Reason.QUEUED, 1))}) == 3


def events(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The events of a stream."""
    event: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and event:
            yield event
            event = {}
        elif line and not line.startswith(":"):
            field, _, value = line.partition(": ")
            event[field] = value


@pytest.fixture
def sleeping(client: httpx.Client) -> Iterator[str]:
    """The path of an execution that runs; cancelled at the end."""
    body = {"parameters": {"seconds": 100}, "outputs": {"html": False, "report": False}}
    created = client.post("/v1/notebooks/sleeper/executions", json=body)
    yield created.headers["Location"]
    client.post(f"{created.headers['Location']}/cancel")


def test_a_late_watcher_gets_the_state_and_then_the_changes(client: httpx.Client, sleeping: str) -> None:
    with client.stream("GET", f"{sleeping}/events") as first:
        assert first.headers["content-type"].startswith("text/event-stream")
        watched = events(first)
        for event in watched:
            if event["event"] == "status" and json.loads(event["data"])["status"]["reason"] == "Running":
                break
        # The first watcher has seen it run; the second one comes now, and learns that before anything changes.
        with client.stream("GET", f"{sleeping}/events") as late:
            stream = events(late)
            event = next(stream)
            assert (event["event"], json.loads(event["data"])["status"]["phase"]) == ("status", "Running")
            client.post(f"{sleeping}/cancel")
            rest = [event, *stream]
        seen = [event, *watched]
    for told in (rest, seen):
        assert told[-1]["event"] == "end"
        assert json.loads(told[-1]["data"])["reason"] == "Cancelled"
        last_status = [item for item in told if item["event"] == "status"][-1]
        assert json.loads(last_status["data"])["status"]["reason"] == "Cancelled"


def test_progress_is_told_while_it_runs(client: httpx.Client, sleeping: str) -> None:
    with client.stream("GET", f"{sleeping}/events") as response:
        for event in events(response):
            document = json.loads(event["data"])
            assert event["event"] in ("status", "progress"), event
            progress = document if event["event"] == "progress" else document["status"].get("progress")
            if progress is not None and progress["completed"] >= 1:
                assert progress["completed"] < progress["total"]
                break
        else:
            pytest.fail("the stream ended without the progress of the first cell")


def test_a_watcher_of_an_ended_execution_gets_its_end_at_once(client: httpx.Client) -> None:
    ran = client.post("/v1/run/quiet")
    path = f"/v1/executions/{ran.headers['Podbook-Execution']}/events"
    with client.stream("GET", path) as response:
        told = list(events(response))
    assert [event["event"] for event in told] == ["status", "end"]
    assert told[0]["id"] == told[1]["id"]
    # An EventSource reconnects after every end; 204 tells it to stop (HTML, server-sent events).
    assert client.get(path, headers={"Last-Event-ID": told[-1]["id"]}).status_code == 204
    with client.stream("GET", path, headers={"Last-Event-ID": "something-else"}) as response:
        assert [event["event"] for event in events(response)] == ["status", "end"]


def test_events_of_nothing_are_not_found(client: httpx.Client) -> None:
    assert client.get("/v1/executions/double-none/events").status_code == 404
